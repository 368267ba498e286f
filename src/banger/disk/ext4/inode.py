"""The 256 bytes of an inode, with a checksum over them and times to the nanosecond."""

import struct

from banger.disk.ext4.checksum import crc
from banger.disk.ext4.node import TIME_MAX, TIME_MIN

EXTENTS = 0x80000
INDEX = 0x1000

_EXTRA = 32
_LAYOUT = struct.Struct("<HHIIIIIHHIII60sIIIIHHHHHHHHIIIIIII96s")
_CHECKSUM_LOW = 0x7C
_CHECKSUM_HIGH = 0x82


def time_fields(nanoseconds: int) -> tuple[int, int]:
    """Low seconds, and the field that holds nanoseconds and the two high bits of the seconds."""
    nanoseconds = min(max(nanoseconds, TIME_MIN), TIME_MAX)
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    low = seconds & 0xFFFFFFFF
    signed = low - ((low & 0x80000000) << 1)
    return low, rest << 2 | (seconds - signed) >> 32 & 3


def pack(
    *,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    links: int,
    sectors: int,
    flags: int,
    block: bytes,
    mtime: int,
    seed: int,
    xattrs: bytes = b"",
    xattr_block: int = 0,
) -> bytearray:
    """An inode. ``sectors`` counts units of 512 bytes, ``seed`` is the inode's own."""
    low, extra = time_fields(mtime)
    packed = bytearray(
        _LAYOUT.pack(
            mode, uid & 0xFFFF, size & 0xFFFFFFFF, low, low, low, 0, gid & 0xFFFF, links,
            sectors & 0xFFFFFFFF, flags, 0, block, 0, xattr_block & 0xFFFFFFFF, size >> 32, 0,
            sectors >> 32, xattr_block >> 32, uid >> 16, gid >> 16, 0, 0,
            _EXTRA, 0, extra, extra, extra, low, extra, 0, 0, xattrs,
        )
    )  # fmt: skip
    checksum = crc(seed, packed)
    struct.pack_into("<H", packed, _CHECKSUM_LOW, checksum & 0xFFFF)
    struct.pack_into("<H", packed, _CHECKSUM_HIGH, checksum >> 16)
    return packed
