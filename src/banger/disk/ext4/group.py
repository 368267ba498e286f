"""Block groups: which blocks and inodes are taken (bitmaps), and the descriptors that say so.

Groups behind the last used block hold nothing but perhaps a superblock's copy; they are marked so (BLOCK_UNINIT)
instead of being given a bitmap, as groups without inodes are (INODE_UNINIT). All are marked as having zeroed inode
tables, which holes of the host's file are. Bits past a group's end are 1.
"""

import struct
from typing import NamedTuple

from banger.disk.ext4.checksum import crc
from banger.disk.ext4.data import DataArea
from banger.disk.ext4.geometry import BLOCK, GROUP_BLOCKS, Geometry, groups_of, has_superblock

INODE_UNINIT, BLOCK_UNINIT, INODE_ZEROED = 1, 2, 4

_DESCRIPTOR = struct.Struct("<IIIHHHHIHHHHIIIHHHHIHHI")


class Group(NamedTuple):
    """Where the metadata of one group lies."""

    block_bitmap: int
    inode_bitmap: int
    inode_table: int


class Counts(NamedTuple):
    """What the superblock says about all groups together."""

    free_blocks: int
    free_inodes: int


def place(area: DataArea, count: int, table_blocks: int) -> list[Group]:
    """Take blocks for the metadata of ``count`` groups: block bitmaps, inode bitmaps, inode tables."""
    block_bitmaps = [start + at for start, length in area.reserve(count) for at in range(length)]
    inode_bitmaps = [start + at for start, length in area.reserve(count) for at in range(length)]
    tables = [area.reserve_together(table_blocks) for _ in range(count)]
    return [Group(*each) for each in zip(block_bitmaps, inode_bitmaps, tables, strict=True)]


class GroupTable:
    """Bitmaps and descriptors of a filesystem of ``blocks`` blocks, whose inodes 1 to ``inodes_used`` are taken."""

    def __init__(
        self, area: DataArea, groups: list[Group], *, blocks: int, inodes_per_group: int, inodes_used: int, seed: int
    ) -> None:
        self._area = area
        self._groups = groups
        self._blocks = blocks
        self._inodes_per_group = inodes_per_group
        self._inodes_used = inodes_used
        self._seed = seed
        self._free = _by_group(area.free)

    def write(self, directories: dict[int, int]) -> tuple[bytes, Counts]:
        """Write the bitmaps; returns the descriptors. ``directories`` counts them by group."""
        descriptors = []
        free_blocks = free_inodes = 0
        for number, group in enumerate(self._groups):
            flags, free, block_checksum = self._write_block_bitmap(number, group)
            used, inode_checksum = self._write_inode_bitmap(number, group)
            if not used:
                flags |= INODE_UNINIT
            unused = self._inodes_per_group - used
            free_blocks += free
            free_inodes += unused
            descriptors.append(
                self._descriptor(
                    number, group, flags | INODE_ZEROED, free, unused, directories.get(number, 0),
                    block_checksum, inode_checksum,
                )
            )  # fmt: skip
        return b"".join(descriptors), Counts(free_blocks, free_inodes)

    def _write_block_bitmap(self, number: int, group: Group) -> tuple[int, int, int]:
        first = number * GROUP_BLOCKS
        length = min(GROUP_BLOCKS, self._blocks - first)
        head = self._area.geometry.head_blocks if has_superblock(number) else 0
        used = min(max(self._area.next - first, head), length)
        if self._area.next <= first and number != len(self._groups) - 1:
            return BLOCK_UNINIT, length - head, 0
        bitmap = bytearray(b"\xff" * (GROUP_BLOCKS // 8))
        _clear(bitmap, used, length - used)
        free = length - used
        for start, count in self._free.get(number, ()):
            _clear(bitmap, start, count)
            free += count
        self._area.put(group.block_bitmap, bitmap)
        return 0, free, crc(self._seed, bitmap)

    def _write_inode_bitmap(self, number: int, group: Group) -> tuple[int, int]:
        used = min(max(self._inodes_used - number * self._inodes_per_group, 0), self._inodes_per_group)
        if not used:
            return 0, 0
        bitmap = bytearray(b"\xff" * BLOCK)
        _clear(bitmap, used, self._inodes_per_group - used)
        self._area.put(group.inode_bitmap, bitmap)
        return used, crc(self._seed, bitmap[: self._inodes_per_group // 8])

    def _descriptor(
        self, number: int, group: Group, flags: int, free_blocks: int, free_inodes: int, directories: int,
        block_checksum: int, inode_checksum: int,
    ) -> bytes:  # fmt: skip
        packed = bytearray(
            _DESCRIPTOR.pack(
                group.block_bitmap & 0xFFFFFFFF, group.inode_bitmap & 0xFFFFFFFF, group.inode_table & 0xFFFFFFFF,
                free_blocks & 0xFFFF, free_inodes & 0xFFFF, directories & 0xFFFF, flags, 0,
                block_checksum & 0xFFFF, inode_checksum & 0xFFFF, free_inodes & 0xFFFF, 0,
                group.block_bitmap >> 32, group.inode_bitmap >> 32, group.inode_table >> 32,
                free_blocks >> 16, free_inodes >> 16, directories >> 16, free_inodes >> 16, 0,
                block_checksum >> 16, inode_checksum >> 16, 0,
            )
        )  # fmt: skip
        checksum = crc(crc(self._seed, number.to_bytes(4, "little")), packed) & 0xFFFF
        struct.pack_into("<H", packed, 0x1E, checksum)
        return bytes(packed)


def overhead(geometry: Geometry, blocks: int) -> int:
    """Blocks that superblock copies and their tables take behind the first group."""
    return geometry.head_blocks * sum(has_superblock(group) for group in range(1, groups_of(blocks)))


def _by_group(ranges: list[tuple[int, int]]) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = {}
    for start, count in ranges:
        while count:
            group, at = divmod(start, GROUP_BLOCKS)
            take = min(count, GROUP_BLOCKS - at)
            found.setdefault(group, []).append((at, take))
            start += take
            count -= take
    return found


def _clear(bitmap: bytearray, start: int, count: int) -> None:
    """Clear ``count`` bits from bit ``start`` on."""
    end = start + count
    while start < end and start % 8:
        bitmap[start // 8] &= ~(1 << start % 8)
        start += 1
    whole = (end - start) // 8
    if whole > 0:
        bitmap[start // 8 : start // 8 + whole] = bytes(whole)
        start += whole * 8
    while start < end:
        bitmap[start // 8] &= ~(1 << start % 8)
        start += 1
