"""The bytes of a layer, inflated in bounded pieces: gzip, zstd, xz or plain, told apart by their first bytes.

The media type is not believed, as other tools do not believe it either. gzip may have several members and zstd
several frames; what follows the last one may only be zeros. A stream that ends early is refused. No piece is larger
than `PIECE`, however well its input was compressed.

gzip goes into buffers of the caller's: the library then gives the interpreter's lock away two or three times for a
piece, reading its input included. With an output of its own, which it makes larger step by step, it is seven or eight.
"""

import contextlib
import gzip
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, cast

GzipFile: Any = gzip.GzipFile
_damages: tuple[type[Exception], ...] = (gzip.BadGzipFile, zlib.error, OverflowError)
with contextlib.suppress(ImportError):  # without it: slower by half, the same bytes
    from isal import igzip, isal_zlib

    GzipFile = igzip.IGzipFile
    _damages += (getattr(isal_zlib, "error"),)  # noqa: B009 - its stubs say that it is no class

PIECE = 1 << 20
_INPUT = 384 << 10
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_XZ = b"\xfd7zXZ\0"
_ZSTD_SKIPPABLE = tuple(bytes((0x50 + low, 0x2A, 0x4D, 0x18)) for low in range(16))
"""Frames of zstd that hold no content (RFC 8878, 3.1.2); zstd:chunked layers end with some."""

_START = max(map(len, (_GZIP, _ZSTD, _XZ)))
_NO_GZIP = "Not a gzipped file"
"""How what the libraries say begins when something else follows a member."""


class Damaged(ValueError):
    """The stream is not what its format demands. The text says how."""


class Input:
    """An open file that is read from its start, and who hears in ``on_read`` how far."""

    def __init__(self, file: BinaryIO, on_read: Callable[[int], None]) -> None:
        self._file = file
        self._on_read = on_read

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._on_read(len(data))
        return data

    def readinto(self, buffer: bytearray | memoryview) -> int:
        count = cast(Any, self._file).readinto(buffer)
        self._on_read(count)
        return int(count)

    def begins(self) -> bytes:
        """The first bytes, which are read again."""
        start = self._file.read(_START)
        self._file.seek(0)
        return start


class _Codec:
    """A decompressor of one frame, and what the libraries' have in common."""

    def __init__(self, codec: Any) -> None:
        self._codec = codec

    @property
    def eof(self) -> bool:
        return bool(self._codec.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._codec.unused_data)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The inflated pieces of ``data``, each at most `PIECE` bytes."""
        while True:
            piece = self._codec.decompress(data, PIECE)
            if piece:
                yield piece
            data = b""
            if self._codec.eof or self._codec.needs_input:
                return


class _Format:
    """How a frame begins, what decompresses it, what is raised when it is damaged."""

    def __init__(self, magics: tuple[bytes, ...], make: Callable[[], _Codec], *faults: type[Exception]) -> None:
        self.magics = magics
        self.make = make
        self.faults: tuple[type[Exception], ...] = (*faults, EOFError)


def _format(start: bytes) -> _Format | None:
    """The format of a stream that begins so. Libraries are imported when they are needed: most layers are gzip."""
    if start.startswith((_ZSTD, *_ZSTD_SKIPPABLE)):
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
        return _Format((_ZSTD, *_ZSTD_SKIPPABLE), lambda: _Codec(zstd.ZstdDecompressor()), zstd.ZstdError)
    if start.startswith(_XZ):
        import lzma

        return _Format((_XZ,), lambda: _Codec(lzma.LZMADecompressor(memlimit=256 << 20)), lzma.LZMAError)
    return None


def pieces(source: Input, room: Callable[[], bytearray]) -> Iterator[tuple[bytes | bytearray, bytearray]]:
    """The inflated bytes of ``source``, which is read to its end. Raises `Damaged`, OSError.

    For each piece a buffer is taken from ``room``, which comes with it: the piece may be that buffer, and the buffer
    be used again only when the piece is not needed any more.
    """
    start = source.begins()
    form = _format(start)
    if start.startswith(_GZIP):
        yield from _gzip(source, room)
    elif form is None:
        while count := source.readinto(buffer := room()):
            yield buffer if count == len(buffer) else buffer[:count], buffer
    else:
        try:
            for piece in _frames(source, form):
                yield piece, room()
        except form.faults as fault:
            raise Damaged(f"the compressed stream is damaged ({fault})") from None


def _gzip(source: Input, room: Callable[[], bytearray]) -> Iterator[tuple[bytearray, bytearray]]:
    try:
        with GzipFile(fileobj=source, mode="rb") as stream:
            while count := stream.readinto(buffer := room()):
                yield buffer if count == len(buffer) else buffer[:count], buffer
    except EOFError:
        raise Damaged("the compressed stream ends early") from None
    except _damages as fault:
        if str(fault).startswith(_NO_GZIP):
            raise Damaged("something follows the end of the compressed stream") from None
        raise Damaged(f"the compressed stream is damaged ({fault})") from None


def _frames(source: Input, form: _Format) -> Iterator[bytes]:
    data = source.read(_INPUT)
    while True:
        codec = form.make()
        while not codec.eof:
            if not data:
                raise Damaged("the compressed stream ends early")
            yield from codec.feed(data)
            data = codec.unused_data if codec.eof else source.read(_INPUT)
        data = data or source.read(_INPUT)
        while data and not data.startswith(form.magics):
            if len(data) < len(form.magics[0]) and (more := source.read(_INPUT)):
                data += more
            elif data.strip(b"\0"):
                raise Damaged("something follows the end of the compressed stream")
            else:
                data = source.read(_INPUT)
        if not data:
            return
