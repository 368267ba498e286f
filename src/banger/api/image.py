"""Images: root filesystems and where they came from."""

from typing import Literal

import msgspec


class PullImage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Make an image from a catalog name or any reference that skopeo understands."""

    reference: str
    name: str | None = None
    size: int | None = None
    force: bool = False
    """Make it again although an image of that name exists."""


class ImportImage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Make an image from a flat root filesystem archive on the host, or from a plain directory of it."""

    path: str
    name: str
    size: int | None = None
    directory: bool = False
    """``path`` is a directory."""


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How the image wants its commands to be run (the OCI image configuration)."""

    entrypoint: list[str] = []
    cmd: list[str] = []
    env: list[str] = []
    cwd: str = ""
    user: str = ""


class WorkSeed(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine's home of root begins as: a small file system made of the image's own."""

    size: int
    allocated: int
    least: int = 0
    """How large a work disk has to be to hold what is in it."""
    key: str = ""
    """Fingerprint of the ssh key that it lets in, empty for none."""


class Step(msgspec.Struct, frozen=True):
    """A line of an image's history. An empty one changed no file."""

    text: str
    empty: bool = False


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """An image on this host. ``rootfs`` is the path of its ext4 file."""

    id: str
    name: str
    kind: Literal["oci", "debian", "archive", "directory", "bundle", "file", "build"]
    source: str
    digest: str
    architecture: str
    init: str | None
    """The init that the image brings; None means that banger's agent is PID 1."""
    config: ImageConfig = ImageConfig()
    kernel: str = ""
    """What its machines boot unless they are told otherwise; empty for the default."""
    managed: bool = True
    """Whether the file is banger's own; otherwise it is its owner's, and only ever read."""
    rootfs: str
    size: int
    allocated: int
    """What it takes on the host's disk; the file is sparse."""
    created: float
    work_seed: WorkSeed | None = None
    """None where it is still to be made."""
    steps: list[Step] = []
    """How it was made, oldest first; left out of lists."""


class ImageList(msgspec.Struct, frozen=True, kw_only=True):
    images: list[Image]


class CacheUse(msgspec.Struct, frozen=True, kw_only=True):
    """What the downloads of all pulls take on this host. A pruning has the same members as its result."""

    blobs: int
    bytes: int


class RegisterImage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Use a root file system of one's own where it is. Without the last two nothing is ever written to it."""

    name: str
    path: str
    kernel: str = ""
    root_owned: bool = False
    """Give what belongs to the caller in it to root first."""
    assets: bool = False
    """Put the guest's part of banger into it first."""
