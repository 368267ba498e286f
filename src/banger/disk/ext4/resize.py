"""The resize inode (7), which owns the blocks kept for further group descriptors.

It is an old-style file: its double-indirect block lists the reserved blocks behind the first group's descriptors, and
each of these lists its own copies in the groups that hold a superblock. resize2fs and the kernel's online growth take
the blocks from it. Its size is a constant that both expect.
"""

import struct

from banger.disk.ext4.geometry import BLOCK, GROUP_BLOCKS, has_superblock

NUMBER = 7
_PER_BLOCK = BLOCK // 4
SIZE = (_PER_BLOCK * _PER_BLOCK + _PER_BLOCK + 12) * BLOCK
_DOUBLE_INDIRECT = 13


def plan(first: int, reserved: int, groups: int) -> tuple[bytes, list[tuple[int, bytes]], int]:
    """The double-indirect block, the reserved blocks with their contents, and how many blocks the file has.

    ``first`` is the first of ``reserved`` blocks, ``groups`` the number of groups.
    """
    copies = [group for group in range(1, groups) if has_superblock(group)]
    slots = [0] * _PER_BLOCK
    listed = []
    for block in range(first, first + reserved):
        slots[(block - 1) % _PER_BLOCK] = block
        where = [group * GROUP_BLOCKS + block for group in copies]
        listed.append((block, struct.pack(f"<{len(where)}I", *where).ljust(BLOCK, b"\0")))
    return struct.pack(f"<{_PER_BLOCK}I", *slots), listed, 1 + reserved * (1 + len(copies))


def i_block(double_indirect: int) -> bytes:
    return struct.pack("<15I", *[0] * _DOUBLE_INDIRECT, double_indirect, 0)
