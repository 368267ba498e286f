"""What is on record about an image.

Its files are ``images/ID/rootfs.ext4`` and ``image.json``, a copy of the record for whoever reads the directory, and
its work seed (`banger.images.seeds`).
"""

import os
from typing import Literal

import msgspec

from banger.api.image import Image, ImageConfig
from banger.images import seeds

Origin = Literal["oci", "debian", "archive", "directory"]

ROOTFS, RECORD = "rootfs.ext4", "image.json"


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
    """Digest of the guest assets in it, empty for none. Same digest, writer, assets and size: same bytes."""
    architecture: str
    init: str | None = None
    config: ImageConfig = ImageConfig()
    size: int
    created: float


def view(record: ImageRecord, directory: str) -> Image:
    """The image as clients see it."""
    rootfs = os.path.join(directory, ROOTFS)
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
        rootfs=rootfs,
        size=record.size,
        allocated=allocated,
        created=record.created,
        work_seed=seeds.view(directory),
    )
