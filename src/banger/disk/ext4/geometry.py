"""How an ext4 filesystem is divided: block groups, superblock copies, and the room that they take.

Blocks are 4 KiB, groups are 32768 blocks (128 MiB). Group 0 and the groups 1, 3^n, 5^n, 7^n (sparse_super) begin with
a copy of the superblock, the group descriptors and room for more descriptors (resize_inode). That head has the same
length whatever the size turns out to be, because data is placed before the size is known.
"""

from banger.disk.ext4.node import Extent

BLOCK = 4096
GROUP_BLOCKS = 32768
DESCRIPTOR = 64
INODE = 256
INODES_PER_BLOCK = BLOCK // INODE
BYTES_PER_INODE = 16384
"""Room for one inode for each 16 KiB of disk, as mke2fs gives by default."""

DESCRIPTORS_PER_BLOCK = BLOCK // DESCRIPTOR
GROWTH_BLOCKS = 32
"""Blocks kept for further descriptors: online growth by 256 GiB."""

SMALLEST = 64 << 20


class Geometry:
    """Where things are in a filesystem of at most ``size`` bytes (None: as large as its content will need)."""

    def __init__(self, size: int | None) -> None:
        descriptor_blocks = 0 if size is None else -(-groups_of(size // BLOCK) // DESCRIPTORS_PER_BLOCK)
        self.table_blocks = GROWTH_BLOCKS + descriptor_blocks
        """Descriptor blocks and the ones kept for growth, together."""
        self.blocks_limit = size // BLOCK if size is not None else GROWTH_BLOCKS * DESCRIPTORS_PER_BLOCK * GROUP_BLOCKS

    @property
    def head_blocks(self) -> int:
        """Blocks at the start of a group that holds a superblock."""
        return 1 + self.table_blocks

    def usable_blocks(self, size: int) -> int:
        """Blocks of a filesystem of ``size`` bytes; a last group too short to be of use is left out."""
        blocks = size // BLOCK
        last = blocks % GROUP_BLOCKS
        overhead = self.head_blocks if has_superblock(blocks // GROUP_BLOCKS) else 0
        return blocks - last if last and blocks > GROUP_BLOCKS and last < overhead + 64 else blocks


def groups_of(blocks: int) -> int:
    return -(-blocks // GROUP_BLOCKS)


def has_superblock(group: int) -> bool:
    """Whether sparse_super puts a copy of the superblock there."""
    if group <= 1:
        return True
    return any(_is_power(group, base) for base in (3, 5, 7))


def _is_power(number: int, base: int) -> bool:
    while number % base == 0:
        number //= base
    return number == 1


def extents_of(runs: list[tuple[int, int]], first: int = 0) -> list[Extent]:
    """The extents of a file whose blocks from ``first`` on lie in ``runs`` (start, count)."""
    extents = []
    for start, count in runs:
        extents.append((first, start, count))
        first += count
    return extents
