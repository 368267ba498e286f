"""Writing a bundle: the same files and manifest give the same bytes, whoever packs them, where and when.

The headers are ustar's, with owner 0, time 0 and mode 0644, and sizes in base 256 where eight octal digits do not do;
the manifest comes first. zstd's level 19 is the highest that does not ask every reader for a window of 128 MiB. A
file's holes are not read. How many threads compress changes nothing: their shares do not depend on their number.
"""

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from banger.bundles.unpack import MANIFEST

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LEVEL = 19
_BLOCK = 512
_RECORD = 10_240
_PIECE = 1 << 20
_OCTAL_LIMIT = 8**11
_ZEROS = bytes(_PIECE)


class Packed(NamedTuple):
    """A finished bundle: the digest that names it, and its length."""

    path: str
    sha256: str
    size: int


class _Output:
    """The compressed stream, hashed on its way into the file."""

    def __init__(self, file: BinaryIO) -> None:
        parameter = zstd.CompressionParameter
        self._codec = zstd.ZstdCompressor(
            options={
                parameter.compression_level: LEVEL,
                parameter.checksum_flag: 1,
                parameter.nb_workers: max(1, os.cpu_count() or 1),
            }
        )
        self._file = file
        self._digest = hashlib.sha256()
        self._length = 0
        self.taken = 0

    def write(self, data: bytes) -> None:
        self.taken += len(data)
        self._put(self._codec.compress(data))

    def finish(self) -> tuple[str, int]:
        self._put(self._codec.flush())
        return self._digest.hexdigest(), self._length

    def _put(self, data: bytes) -> None:
        self._digest.update(data)
        self._length += len(data)
        self._file.write(data)


def pack(manifest: bytes, files: Sequence[tuple[str, str]], output: str) -> Packed:
    """Write the bundle of ``manifest`` and ``files`` (name in the bundle, path here) to the new file ``output``.

    It is durable when this returns, and does not exist after a failure. Raises OSError.
    """
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        with open(descriptor, "wb") as file:
            stream = _Output(file)
            _put(stream, MANIFEST, len(manifest), iter((manifest,)))
            for name, path in files:
                with open(path, "rb") as source:
                    size = os.fstat(source.fileno()).st_size
                    _put(stream, name, size, _content(source.fileno(), size))
            stream.write(bytes(2 * _BLOCK))
            stream.write(bytes(-stream.taken % _RECORD))
            sha256, length = stream.finish()
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        os.unlink(output)
        raise
    return Packed(output, sha256, length)


def digest(path: str) -> str:
    """The sha256 of a sparse file; its holes are not read."""
    found = hashlib.sha256()
    with open(path, "rb") as source:
        for piece in _content(source.fileno(), os.fstat(source.fileno()).st_size):
            found.update(piece)
    return found.hexdigest()


def _put(stream: _Output, name: str, size: int, content: Iterator[bytes]) -> None:
    stream.write(header(name, size))
    written = 0
    for piece in content:
        stream.write(piece)
        written += len(piece)
    if written != size:
        raise OSError(f"{name} changed while it was read")
    stream.write(bytes(-size % _BLOCK))


def header(name: str, size: int) -> bytes:
    """A ustar header of a regular file. Raises ValueError for a name that it does not hold."""
    prefix, base = b"", name.encode("ascii")
    if len(base) > 100:
        cut = base.rfind(b"/", 0, 156)
        prefix, base = base[: max(cut, 0)], base[cut + 1 :]
        if not prefix or len(base) > 100:
            raise ValueError(f"{name} is too long a name")
    length = b"%011o\0" % size if size < _OCTAL_LIMIT else b"\x80" + size.to_bytes(11, "big")
    fields = [
        base.ljust(100, b"\0"), b"0000644\0", b"0000000\0", b"0000000\0", length, b"00000000000\0", b" " * 8,
        b"0", bytes(100), b"ustar\00000", bytes(64), b"0000000\0", b"0000000\0", prefix.ljust(155, b"\0"), bytes(12),
    ]  # fmt: skip
    block = bytearray(b"".join(fields))
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _content(descriptor: int, size: int) -> Iterator[bytes]:
    """A file's bytes in pieces of one length, holes as zeros without reading them."""
    at = 0
    data = _next_data(descriptor, at, size)
    while at < size:
        end = min(at + _PIECE, size)
        if data >= end:
            yield _ZEROS[: end - at]
        else:
            piece = b""
            while len(piece) < end - at and (more := os.pread(descriptor, end - at - len(piece), at + len(piece))):
                piece += more
            yield piece
            if len(piece) < end - at:
                return
        at = end
        if data < at:
            data = _next_data(descriptor, at, size)


def _next_data(descriptor: int, at: int, size: int) -> int:
    """Where the next data after ``at`` begin; the file's end when there are none."""
    if at >= size:
        return size
    with contextlib.suppress(OSError):
        return os.lseek(descriptor, at, os.SEEK_DATA)
    return size
