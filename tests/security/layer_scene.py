"""Hostile layers through the real builder: what every test of an attack by an archive says first.

`accepted` and `refused` both see to it that nothing but the layers and the image is left beside them.
"""

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from banger import errors
from banger.oci.build import BuildReport, LayerSource, build_image
from tests.ext4_image import Ext4Image, File

SIZE = 64 << 20


def sources(directory: Path, layers: tuple[bytes, ...]) -> list[LayerSource]:
    found = []
    for number, data in enumerate(layers):
        path = directory / f"layer{number}"
        path.write_bytes(data)
        found.append(LayerSource(path=str(path), name=f"sha256:{number}"))
    return found


def build(directory: Path, *layers: bytes, size: int | None = SIZE) -> BuildReport:
    """Build ``image`` of the layers."""
    return build_image(sources(directory, layers), str(directory / "image"), size=size, seed="attack")


def read(directory: Path, *, xattr_values: bool = True) -> dict[bytes, File]:
    """What is in ``image``, which e2fsck finds sound."""
    image = Ext4Image(directory / "image", directory)
    image.check()
    return image.read(xattr_values=xattr_values)


def accepted(directory: Path, *layers: bytes, size: int | None = SIZE) -> dict[bytes, File]:
    """Every name in the image of the layers but the root's, and what is there."""
    before = set(directory.iterdir())
    build(directory, *layers, size=size)
    made = {directory / "image", *(directory / f"layer{number}" for number in range(len(layers)))}
    assert set(directory.iterdir()) - before <= made
    found = read(directory)
    (directory / "image").unlink()
    del found[b""]
    return found


def _fails(
    directory: Path, layers: tuple[bytes, ...], kind: type[errors.BangerError], reason: str
) -> errors.BangerError:
    before = set(directory.iterdir())
    with pytest.raises(kind, match=reason) as caught:
        build(directory, *layers)
    assert caught.value.message.isprintable()
    left = {path.name for path in set(directory.iterdir()) - before}
    assert left <= {f"layer{number}" for number in range(len(layers))}
    return caught.value


def refused(directory: Path, *layers: bytes, reason: str) -> str:
    """The printable name of the last layer's entry that is refused for ``reason``."""
    error = _fails(directory, layers, errors.UnsafeLayer, reason)
    assert error.data["layer"] == f"sha256:{len(layers) - 1}" and error.data["layer"] in error.message
    assert str(error.data["entry"]) in error.message
    return str(error.data["entry"])


def corrupt(directory: Path, data: bytes, reason: str) -> None:
    """The layer is refused as a whole for ``reason``, by its name."""
    error = _fails(directory, (data,), errors.CorruptBlob, reason)
    assert error.data["digest"] == "sha256:0" and "sha256:0" in error.message


def header(change: Callable[[bytearray], None], data: bytes = b"", kind: bytes = tarfile.REGTYPE) -> bytes:
    """A one-entry archive whose header was changed, with a right checksum."""
    info = tarfile.TarInfo("entry")
    info.type, info.size = kind, len(data)
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    change(block)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + data.ljust(-(-len(data) // 512) * 512, b"\0") + bytes(1024)


def pax(records: bytes, following: bytes) -> bytes:
    """An extended header in front of an archive."""
    return header(lambda block: None, records, tarfile.XHDTYPE)[:-1024] + following
