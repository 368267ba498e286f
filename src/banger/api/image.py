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


class BuildImage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Build an image of the distribution's own packages, without root."""

    name: str
    suite: str = "bookworm"
    packages: list[str] = []
    mirror: str | None = None
    size: int | None = None


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
    key: str = ""
    """Fingerprint of the ssh key that it lets in, empty for none."""


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """An image on this host. ``rootfs`` is the path of its ext4 file."""

    id: str
    name: str
    kind: Literal["oci", "debian", "archive", "directory"]
    source: str
    digest: str
    architecture: str
    init: str | None
    """The init that the image brings; None means that banger's agent is PID 1."""
    config: ImageConfig = ImageConfig()
    rootfs: str
    size: int
    allocated: int
    """What it takes on the host's disk; the file is sparse."""
    created: float
    work_seed: WorkSeed | None = None
    """None where it is still to be made."""


class ImageList(msgspec.Struct, frozen=True, kw_only=True):
    images: list[Image]


class CacheUse(msgspec.Struct, frozen=True, kw_only=True):
    """What the downloads of all pulls take on this host. A pruning has the same members as its result."""

    blobs: int
    bytes: int


class CatalogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A name that `image pull` knows without a registry."""

    name: str
    kind: Literal["debian", "oci"]
    description: str
