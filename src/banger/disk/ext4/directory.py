"""Directory blocks: entries in linear blocks, each with a checksum in a fake entry at its end.

A directory that needs more than one block gets a hashed index (`htree`) at once, because the kernel never makes one
for a directory that already has several blocks.
"""

import struct
from collections.abc import Iterable, Sequence

from banger.disk.ext4.checksum import crc
from banger.disk.ext4.geometry import BLOCK
from banger.disk.ext4.node import Node

ROOM = BLOCK - 12
"""Bytes for entries in a block."""

_ENTRY = struct.Struct("<IHBB")
_TAIL = struct.Struct("<IHBBI")
_TAIL_TYPE = 0xDE

_TYPES = {0o100000: 1, 0o040000: 2, 0o120000: 7}


class Entry:
    """A name in a directory, ready to be placed."""

    __slots__ = ("kind", "name", "number", "size")

    def __init__(self, name: bytes, number: int, kind: int) -> None:
        self.name = name
        self.number = number
        self.kind = kind
        self.size = len(name) + 11 & ~3


def entries_of(node: Node, parent: Node) -> list[Entry]:
    """``.``, ``..`` and the names in order of their bytes."""
    found = [Entry(b".", node.number, 2), Entry(b"..", parent.number, 2)]
    for name, child in sorted(node.children.items()):
        found.append(Entry(name, child.number, _TYPES[child.mode & 0o170000]))
    return found


def pack(entries: Iterable[Entry]) -> list[list[Entry]]:
    """The entries in as few blocks as their order allows."""
    blocks: list[list[Entry]] = [[]]
    room = ROOM
    for entry in entries:
        if entry.size > room:
            blocks.append([])
            room = ROOM
        blocks[-1].append(entry)
        room -= entry.size
    return blocks


def linear_block(entries: Sequence[Entry], seed: int) -> bytes:
    """One block; its last entry reaches to the checksum. ``seed`` is the directory's inode's."""
    parts = []
    left = ROOM
    for entry in entries[:-1]:
        parts.append(_ENTRY.pack(entry.number, entry.size, len(entry.name), entry.kind))
        parts.append(entry.name.ljust(entry.size - 8, b"\0"))
        left -= entry.size
    if entries:
        last = entries[-1]
        parts.append(_ENTRY.pack(last.number, left, len(last.name), last.kind) + last.name)
    else:
        parts.append(_ENTRY.pack(0, left, 0, 0))
    body = b"".join(parts).ljust(ROOM, b"\0")
    return body + _TAIL.pack(0, 12, 0, _TAIL_TYPE, crc(seed, body))
