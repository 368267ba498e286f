"""What an OCI image says about itself: index, manifest and config, read from hostile JSON with limits.

Only what is used is read; unknown members are ignored, as the image specification asks. Sizes, counts and lengths are
bounded before anything is believed, and blobs are named by their digests alone.
"""

import hashlib
import os
from typing import Annotated, TypeVar

import msgspec

from banger import errors
from banger.log import printable

DOCUMENT_LIMIT = 8 << 20
LAYER_LIMIT = 512
STRING_LIMIT = 64 << 10
_READ = 1 << 20

Digest = Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}$")]
Text = Annotated[str, msgspec.Meta(max_length=STRING_LIMIT)]
Size = Annotated[int, msgspec.Meta(ge=0, le=1 << 46)]
Texts = Annotated[list[Text], msgspec.Meta(max_length=4096)]

Decoded = TypeVar("Decoded")

LAYER_TYPES = (
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
)
"""Followed by a compression's name, or by none."""

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


class Descriptor(msgspec.Struct, frozen=True):
    digest: Digest
    size: Size
    mediaType: Text = ""  # noqa: N815 - the specification's name


class Index(msgspec.Struct, frozen=True):
    manifests: Annotated[list[Descriptor], msgspec.Meta(min_length=1, max_length=64)]


class Manifest(msgspec.Struct, frozen=True):
    config: Descriptor
    layers: Annotated[list[Descriptor], msgspec.Meta(max_length=LAYER_LIMIT)]


class Settings(msgspec.Struct, frozen=True, rename="pascal"):
    """The image's ``config`` member: how its author wants it run."""

    entrypoint: Texts | None = None
    cmd: Texts | None = None
    env: Texts | None = None
    working_dir: Text | None = None
    user: Text | None = None
    labels: Annotated[dict[Text, Text], msgspec.Meta(max_length=4096)] | None = None


class RootFilesystem(msgspec.Struct, frozen=True):
    diff_ids: Annotated[list[Digest], msgspec.Meta(max_length=LAYER_LIMIT)]


class HistoryEntry(msgspec.Struct, frozen=True):
    """A step that the image was built in."""

    created_by: str | None = None
    empty_layer: bool | None = None


class Config(msgspec.Struct, frozen=True):
    architecture: Text
    os: Text
    rootfs: RootFilesystem
    config: Settings | None = None
    history: list[HistoryEntry] | None = None


def read_document(path: str, expected: Descriptor | None) -> bytes:
    """A small document, checked against its descriptor. Raises `errors.CorruptBlob`, OSError."""
    name = expected.digest if expected is not None else os.path.basename(path)
    with open(path, "rb") as source:
        data = source.read(DOCUMENT_LIMIT + 1)
    if len(data) > DOCUMENT_LIMIT:
        raise errors.CorruptBlob(digest=name, reason="the document is too large")
    if expected is not None and not is_blob(data, expected):
        raise errors.CorruptBlob(digest=name, reason="its bytes are not what its digest says")
    return data


def is_blob(data: bytes, expected: Descriptor) -> bool:
    """Whether these are the bytes that the descriptor names."""
    return len(data) == expected.size and _named(hashlib.sha256(data)) == expected.digest


def decode(data: bytes, kind: type[Decoded], digest: str) -> Decoded:
    """A document as its structure. Raises `errors.CorruptBlob`."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError) as fault:
        raise errors.CorruptBlob(digest=digest, reason=f"not a valid document: {printable(str(fault))}") from None


def check_layers(manifest: Manifest, config: Config) -> None:
    """Whether manifest and config speak of the same layers. Raises `errors.CorruptBlob`."""
    if len(manifest.layers) != len(config.rootfs.diff_ids):
        raise errors.CorruptBlob(digest=manifest.config.digest, reason="its layers are not those of the manifest")
    for layer in manifest.layers:
        base, _, compression = layer.mediaType.replace(".tar.gzip", ".tar+gzip").partition("+")
        if base not in LAYER_TYPES or compression not in ("", "gzip", "zstd"):
            raise errors.CorruptBlob(
                digest=layer.digest, reason=f"it is no layer of a file system ({printable(layer.mediaType, 100)})"
            )


def verify_blob(path: str, expected: Descriptor) -> bool:
    """Whether a file is the blob that the descriptor names. Raises OSError."""
    if os.stat(path).st_size != expected.size:
        return False
    digest = hashlib.sha256()
    with open(path, "rb") as source:
        while data := source.read(_READ):
            digest.update(data)
    return _named(digest) == expected.digest


def _named(digest: "hashlib._Hash") -> str:
    return f"sha256:{digest.hexdigest()}"
