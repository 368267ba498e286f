"""Extent trees: the 60 bytes in an inode that say where a file's blocks lie, and the blocks below them.

An extent covers at most 32768 blocks. Four fit in the inode; more go to leaf blocks of 340, whose index entries are
in the inode, or in further index blocks when there are many.
"""

import struct
from collections.abc import Iterable

from banger.disk.ext4.checksum import crc
from banger.disk.ext4.data import DataArea
from banger.disk.ext4.geometry import BLOCK
from banger.disk.ext4.node import Extent

LONGEST = 32768
IN_INODE = 4
IN_BLOCK = 340
"""(4096 - 12) / 12; the checksum lies in what is left."""

_HEADER = struct.Struct("<HHHHI")
_EXTENT = struct.Struct("<IHHI")
_INDEX = struct.Struct("<IIHH")
_ROOT = struct.Struct("<HHHHIIHHI36x")
_MAGIC = 0xF30A
EMPTY = _HEADER.pack(_MAGIC, 0, IN_INODE, 0, 0).ljust(60, b"\0")


def root(extents: list[Extent]) -> bytes | None:
    """The i_block of a file whose extents are in the inode alone: none, or one that is not too long."""
    if not extents:
        return EMPTY
    block, start, count = extents[0]
    if len(extents) > 1 or count > LONGEST:
        return None
    return _ROOT.pack(_MAGIC, 1, IN_INODE, 0, 0, block, count, start >> 32, start & 0xFFFFFFFF)


def tree(area: DataArea, seed: int, extents: list[Extent]) -> tuple[bytes, int]:
    """The i_block of any file, and how many blocks of the disk the tree takes itself.

    ``seed`` is the inode's. Blocks are taken from ``area`` and written.
    """
    entries = [
        (block, _EXTENT.pack(block, count, start >> 32, start & 0xFFFFFFFF)) for block, start, count in _split(extents)
    ]
    depth = blocks = 0
    while len(entries) > IN_INODE:
        above = []
        for at in range(0, len(entries), IN_BLOCK):
            part = entries[at : at + IN_BLOCK]
            where = area.reserve(1)[0][0]
            area.put(where, _block(part, depth, seed))
            above.append((part[0][0], _INDEX.pack(part[0][0], where & 0xFFFFFFFF, where >> 32, 0)))
        blocks += len(above)
        entries = above
        depth += 1
    header = _HEADER.pack(_MAGIC, len(entries), IN_INODE, depth, 0)
    return (header + b"".join(packed for _, packed in entries)).ljust(60, b"\0"), blocks


def _split(extents: list[Extent]) -> Iterable[Extent]:
    for block, start, count in extents:
        for done in range(0, count, LONGEST):
            yield block + done, start + done, min(LONGEST, count - done)


def _block(entries: list[tuple[int, bytes]], depth: int, seed: int) -> bytes:
    header = _HEADER.pack(_MAGIC, len(entries), IN_BLOCK, depth, 0)
    body = (header + b"".join(packed for _, packed in entries)).ljust(BLOCK - 4, b"\0")
    return body + struct.pack("<I", crc(seed, body))
