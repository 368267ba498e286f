"""The 256 bytes of an inode, with a checksum over them and times to the nanosecond."""

import struct

from banger.disk.ext4.checksum import ALL_ONES, crc32c
from banger.disk.ext4.geometry import INODE
from banger.disk.ext4.node import TIME_MAX, TIME_MIN

EXTENTS = 0x80000
INDEX = 0x1000

_EXTRA = 32
_LAYOUT = struct.Struct("<HHIIII4xHHII4x60s4xII4xHHHH4xH2xIIIII8x96s")
_NUMBER = struct.Struct("<II")
"""An inode's number and generation, which its checksum begins with."""

_CHECKSUM = (0x7C, 0x7D, 0x82, 0x83)
"""Where the bytes of an inode's checksum lie in it, the lowest first."""


def time_fields(nanoseconds: int) -> tuple[int, int]:
    """Low seconds, and the field that holds nanoseconds and the two high bits of the seconds."""
    nanoseconds = min(max(nanoseconds, TIME_MIN), TIME_MAX)
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    low = seconds & 0xFFFFFFFF
    signed = low - ((low & 0x80000000) << 1)
    return low, rest << 2 | (seconds - signed) >> 32 & 3


class InodeTable:
    """The inodes of a filesystem, in order of their numbers, which begin with 1. ``seed`` is the filesystem's."""

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self._bytes = bytearray(count * INODE)
        self._checksums = [0] * count
        self._start = seed ^ ALL_ONES
        self._times: dict[int, tuple[int, int]] = {}

    def put(
        self, number: int, mode: int, owner: tuple[int, int], size: int, links: int, sectors: int, flags: int,
        block: bytes, mtime: int, xattrs: bytes = b"", xattr_block: int = 0,
    ) -> None:  # fmt: skip
        """Write an inode. ``sectors`` counts units of 512 bytes."""
        times = self._times.get(mtime)
        if times is None:
            times = self._times[mtime] = time_fields(mtime)
        low, extra = times
        uid, gid = owner
        begin = (number - 1) * INODE
        data = _LAYOUT.pack(
            mode, uid & 0xFFFF, size & 0xFFFFFFFF, low, low, low, gid & 0xFFFF, links,
            sectors & 0xFFFFFFFF, flags, block, xattr_block & 0xFFFFFFFF, size >> 32, sectors >> 32,
            xattr_block >> 32, uid >> 16, gid >> 16, _EXTRA, extra, extra, extra, low, extra, xattrs,
        )  # fmt: skip
        self._bytes[begin : begin + INODE] = data
        self._checksums[number - 1] = crc32c(data, crc32c(_NUMBER.pack(number, 0), self._start)) ^ ALL_ONES

    def finish(self) -> memoryview:
        """The bytes of all of them, with their checksums."""
        checksums = struct.pack(f"<{self.count}I", *self._checksums)
        for byte, at in enumerate(_CHECKSUM):
            self._bytes[at::INODE] = checksums[byte::4]
        return memoryview(self._bytes)
