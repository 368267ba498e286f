"""The images of `bench_images` as OCI layouts, with the tag `TAG`.

============  ===================================================================
`SMALL`       base and edge layers: about 9,000 inodes
`LARGE`       base, packages, rewrite and edge layers: about 60,000 inodes, 1.7 GB
`MANY`        base and one directory of 12,000 files
`SECOND`      the layers of `LARGE` and a small one more
============  ===================================================================

Each lies in the cache under a name that stays, NAME-gz or NAME-zstd, and shares its blobs with the others as hard
links. gzip is of level 6 and zstd of level 3, as the tools that make images use them. ``python -m bench.layouts NAME``
makes one.
"""

import contextlib
import hashlib
import json
import os
import sys
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.guest_images import store_blob

from bench import layers

TAG = "image"
_PIECE = 1 << 20

SMALL, LARGE, MANY, SECOND = "small", "large", "many", "second"

_EDGE = (layers.edge_below, layers.edge_above)
_LARGE = (layers.base, layers.packages, layers.rewrite, *_EDGE)

LAYERS: Mapping[str, Sequence[Callable[[], Path]]] = {
    SMALL: (layers.base, *_EDGE),
    LARGE: _LARGE,
    MANY: (layers.base, layers.many),
    SECOND: (*_LARGE, layers.addition),
}


class Blob(NamedTuple):
    """A compressed layer."""

    path: Path
    digest: str
    diff_id: str


class Layout(NamedTuple):
    """An image; ``layers`` are oldest first. ``inflated`` is the size of all layers, uncompressed."""

    path: Path
    layers: tuple[Blob, ...]
    digest: str
    inflated: int

    @property
    def reference(self) -> str:
        return f"{self.path}:{TAG}"


def layout(name: str, compression: str = "gz") -> Layout:
    """The image ``name``, made where it is missing."""
    tars = [make() for make in LAYERS[name]]
    blobs = tuple(_blob(tar, compression) for tar in tars)
    published = layers.kept(f"{name}-{compression}", repr(blobs), lambda path: _write(path, blobs, compression))
    with tempfile.TemporaryDirectory(dir=layers.cache()) as staging:  # a link is replaced by renaming another over it
        link = Path(staging) / "link"
        link.symlink_to(os.path.relpath(published, layers.cache()))
        link.rename(layers.cache() / f"{name}-{compression}")
    index = json.loads((published / "index.json").read_text())
    return Layout(published, blobs, index["manifests"][0]["digest"], sum(tar.stat().st_size for tar in tars))


def _blob(tar: Path, compression: str) -> Blob:
    """A layer compressed, with what is known about it in a file beside it."""

    def make(directory: Path) -> None:
        directory.mkdir()
        digest, diff_id = hashlib.sha256(), hashlib.sha256()
        codec = _codec(compression)
        with tar.open("rb") as source, (directory / "blob").open("wb") as target:
            while piece := source.read(_PIECE):
                diff_id.update(piece)
                packed = codec.compress(piece)
                digest.update(packed)
                target.write(packed)
            packed = codec.flush()
            digest.update(packed)
            target.write(packed)
        known = {"digest": f"sha256:{digest.hexdigest()}", "diff_id": f"sha256:{diff_id.hexdigest()}"}
        (directory / "blob.json").write_text(json.dumps(known))

    made = layers.kept(f"{tar.name}.{compression}", f"{tar.parent.name} {compression}", make)
    known = json.loads((made / "blob.json").read_text())
    return Blob(made / "blob", known["digest"], known["diff_id"])


def _codec(compression: str) -> Any:
    if compression == "gz":
        return zlib.compressobj(6, zlib.DEFLATED, 31)
    from backports import zstd

    return zstd.ZstdCompressor(3)


def _write(directory: Path, blobs: Sequence[Blob], compression: str) -> None:
    (directory / "blobs/sha256").mkdir(parents=True)
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    described = []
    suffix = {"gz": "gzip", "zstd": "zstd"}[compression]
    for blob in blobs:
        place = directory / "blobs/sha256" / blob.digest.removeprefix("sha256:")
        with contextlib.suppress(FileExistsError):
            os.link(blob.path, place)
        described.append(
            {
                "mediaType": f"application/vnd.oci.image.layer.v1.tar+{suffix}",
                "digest": blob.digest,
                "size": place.stat().st_size,
            }
        )
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/bin/bash"]},
        "rootfs": {"type": "layers", "diff_ids": [blob.diff_id for blob in blobs]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": store_blob(directory, "application/vnd.oci.image.config.v1+json", config),
        "layers": described,
    }
    entry = store_blob(directory, "application/vnd.oci.image.manifest.v1+json", manifest)
    entry["annotations"] = {"org.opencontainers.image.ref.name": TAG}
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


if __name__ == "__main__":
    for each in sys.argv[1:]:
        layout(*each.rsplit("-", 1))
