"""The empty journal (jbd2, version 2): one block says that there is nothing to replay, the rest is a hole."""

import struct

SMALL, USUAL = 1024, 4096
"""Blocks. 16 MiB bound what a busy guest dirties on the host; disks below 512 MiB take the least that jbd2 accepts."""

_MAGIC = 0xC03B3998
_SUPERBLOCK_V2 = 4


def blocks_for(size: int) -> int:
    return SMALL if size < 512 << 20 else USUAL


def superblock(blocks: int, uuid: bytes) -> bytes:
    """The journal's first block: big-endian, s_start 0."""
    header = struct.pack(">III", _MAGIC, _SUPERBLOCK_V2, 0)
    static = struct.pack(">III", 4096, blocks, 1)
    dynamic = struct.pack(">III", 1, 0, 0)
    features = struct.pack(">III", 0, 0, 0)
    return (header + static + dynamic + features + uuid + struct.pack(">I", 1)).ljust(4096, b"\0")
