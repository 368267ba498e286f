"""LZ4 in its legacy frame, the form in which a kernel image carries it, without a library for this one use.

Frame: magic 0x184C2102, then blocks, each with its length as a little-endian u32 before it and at most 8 MiB when
unpacked (lz4_Frame_format.md, "Legacy frame"). The kernel's build appends the unpacked length of the whole as a last
u32. The input is hostile: output is bounded, every offset is checked.
"""

import struct

MAGIC = b"\x02\x21\x4c\x18"
_BLOCK_LIMIT = 8 << 20


class Corrupt(ValueError):
    """The data is not what an LZ4 compressor writes."""


def decompress(data: bytes, limit: int) -> bytes:
    """Unpack all blocks; more than ``limit`` bytes is `Corrupt`."""
    if not data.startswith(MAGIC):
        raise Corrupt("no legacy frame")
    out = bytearray()
    at = len(MAGIC)
    while at + 8 <= len(data):  # less than a header and a token is the kernel's length word
        (length,) = struct.unpack_from("<I", data, at)
        at += 4
        if length == 0 or at + length > len(data):
            raise Corrupt("a block is longer than the data")
        out += _block(data[at : at + length])
        at += length
        if len(out) > limit:
            raise Corrupt("it unpacks to more than is allowed")
    return bytes(out)


def _block(data: bytes) -> bytearray:
    """One block: sequences of literals and a copy of earlier output; the last one has literals only."""
    out = bytearray()
    at, end = 0, len(data)
    try:
        while True:
            token = data[at]
            at += 1
            count = token >> 4
            if count == 15:
                at, count = _long(data, at, count)
            out += data[at : at + count]
            at += count
            if at >= end:
                break
            distance = data[at] | data[at + 1] << 8
            at += 2
            count = (token & 15) + 4
            if count == 19:
                at, count = _long(data, at, count)
            start = len(out) - distance
            if start < 0 or distance == 0:
                raise Corrupt("a copy from before the beginning")
            if distance >= count:
                out += out[start : start + count]
            else:  # the copy overlaps what it writes: a repeated pattern
                pattern = out[start:]
                out += (pattern * (count // distance + 1))[:count]
            if len(out) > _BLOCK_LIMIT:
                raise Corrupt("a block is too large")
    except IndexError:
        raise Corrupt("a block ends in the middle") from None
    if at != end or len(out) > _BLOCK_LIMIT:
        raise Corrupt("a block ends in the middle")
    return out


def _long(data: bytes, at: int, count: int) -> tuple[int, int]:
    """A length that goes on in following bytes until one is not 255."""
    while True:
        more = data[at]
        at += 1
        count += more
        if more != 255:
            return at, count
