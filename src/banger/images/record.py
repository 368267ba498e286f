"""What is on record about an image.

Its files are ``images/ID/rootfs.ext4`` and ``image.json``, a copy of the record for whoever reads the directory, and
its work seed (`banger.images.seeds`). One that was registered has no root file system there: that stays where its
owner keeps it.
"""

import os
from typing import Literal

import msgspec

from banger.api.image import Image, ImageConfig, Step
from banger.images import seeds
from banger.paths import Paths

Origin = Literal["oci", "debian", "archive", "directory", "bundle", "file", "build"]

ROOTFS, RECORD = "rootfs.ext4", "image.json"


class Stamp(msgspec.Struct, frozen=True):
    """What tells that a file is still the one that it was."""

    device: int
    inode: int
    size: int
    mtime_ns: int


class ImageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An image. ``size`` is the file system's; the file is sparse."""

    id: str
    name: str
    kind: Origin
    source: str
    """What it was made from: a canonical reference, an archive's path, a suite."""
    digest: str
    writer: int
    """Version of the code that wrote the root file system."""
    assets: str = ""
    """Digest of the guest assets in it, empty for none. Same digest, writer, assets and size asked for: same bytes."""
    architecture: str
    init: str | None = None
    config: ImageConfig = ImageConfig()
    kernel: str = ""
    """What its machines boot unless they are told otherwise."""
    path: str = ""
    """Of a registered image: where its owner keeps the root file system. Empty for a file of ours."""
    stamp: Stamp | None = None
    """Of the file at ``path``, as it was looked at."""
    size: int
    fitted: bool = False
    """Nobody asked for that size: it follows from the content."""
    created: float
    steps: tuple[Step, ...] = ()
    """How it was made, oldest first."""
    key: str = ""
    """Digest of the recipe that it was built by and of what that was carried out on. Empty for what is no build."""


def rootfs_path(record: ImageRecord, paths: Paths) -> str:
    """The root file system, which is only ever read."""
    return record.path or os.path.join(paths.image(record.id), ROOTFS)


def stamp_of(status: os.stat_result) -> Stamp:
    return Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def view(record: ImageRecord, paths: Paths, steps: bool = False) -> Image:
    """The image as clients see it, with its ``steps`` if they are asked for."""
    rootfs = rootfs_path(record, paths)
    try:
        allocated = os.stat(rootfs).st_blocks * 512
    except FileNotFoundError:
        allocated = 0
    return Image(
        id=record.id,
        name=record.name,
        kind=record.kind,
        source=record.source,
        digest=record.digest,
        architecture=record.architecture,
        init=record.init,
        config=record.config,
        kernel=record.kernel,
        managed=not record.path,
        rootfs=rootfs,
        size=record.size,
        allocated=allocated,
        created=record.created,
        work_seed=seeds.view(paths.image(record.id)),
        steps=list(record.steps) if steps else [],
    )
