"""The bytes of a layer, inflated in bounded pieces: gzip, zstd, xz or plain, told apart by their first bytes.

The media type is not believed, as other tools do not believe it either. gzip may have several members and zstd
several frames; what follows the last one may only be zeros. A stream that ends early is refused. No piece is larger
than `PIECE`, however well its input was compressed.
"""

import contextlib
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any

gzip_codec: Any = zlib
with contextlib.suppress(ImportError):  # without it: slower by half, the same bytes
    from isal import isal_zlib as gzip_codec

PIECE = 1 << 20
_INPUT = 384 << 10
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_XZ = b"\xfd7zXZ\0"
_ZSTD_SKIPPABLE = tuple(bytes((0x50 + low, 0x2A, 0x4D, 0x18)) for low in range(16))
"""Frames of zstd that hold no content (RFC 8878, 3.1.2); zstd:chunked layers end with some."""

_GZIP_WINDOW = 31
"""zlib's largest window with a gzip header and trailer around it."""


Read = Callable[[int], bytes]


class Damaged(ValueError):
    """The stream is not what its format demands. The text says how."""


class _Codec:
    """A decompressor of one member or frame, and what the libraries' have in common."""

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


class _Gzip(_Codec):
    """zlib's interface differs from that of zstd and lzma."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        while True:
            piece = self._codec.decompress(data, PIECE)
            if piece:
                yield piece
            data = self._codec.unconsumed_tail
            if self._codec.eof or (not data and len(piece) < PIECE):
                return


class _Format:
    """How a member or frame begins, what decompresses it, what is raised when it is damaged."""

    def __init__(self, magics: tuple[bytes, ...], make: Callable[[], _Codec], *faults: type[Exception]) -> None:
        self.magics = magics
        self.make = make
        self.faults: tuple[type[Exception], ...] = (*faults, EOFError)


def _format(start: bytes) -> _Format | None:
    """The format of a stream that begins so. Libraries are imported when they are needed: most layers are gzip."""
    if start.startswith(_GZIP):
        return _Format((_GZIP,), lambda: _Gzip(gzip_codec.decompressobj(_GZIP_WINDOW)), zlib.error, gzip_codec.error)
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


def pieces(read: Read) -> Iterator[bytes]:
    """The inflated bytes of what ``read`` gives, which is read to its end. Raises `Damaged`, OSError."""
    data = read(_INPUT)
    form = _format(data)
    if form is None:
        while data:
            yield data
            data = read(PIECE)
        return
    try:
        yield from _members(read, data, form)
    except form.faults as fault:
        raise Damaged(f"the compressed stream is damaged ({fault})") from None


def _members(read: Read, data: bytes, form: _Format) -> Iterator[bytes]:
    while True:
        codec = form.make()
        while not codec.eof:
            if not data:
                raise Damaged("the compressed stream ends early")
            yield from codec.feed(data)
            data = codec.unused_data if codec.eof else read(_INPUT)
        data = data or read(_INPUT)
        while data and not data.startswith(form.magics):
            if len(data) < len(form.magics[0]) and (more := read(_INPUT)):
                data += more
            elif data.strip(b"\0"):
                raise Damaged("something follows the end of the compressed stream")
            else:
                data = read(_INPUT)
        if not data:
            return
