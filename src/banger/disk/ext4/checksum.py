"""crc32c as ext4 counts it: the raw register, never inverted at either end (Documentation/filesystems/ext4).

The usual function inverts its register before and after; ``crc`` undoes both, so that results chain.
"""

from crc32c import crc32c

ALL_ONES = 0xFFFFFFFF


def crc(seed: int, data: bytes | bytearray | memoryview) -> int:
    """The register after ``data``, started at ``seed``."""
    return crc32c(data, seed ^ ALL_ONES) ^ ALL_ONES


def filesystem_seed(uuid: bytes) -> int:
    """What every metadata checksum of a filesystem starts from."""
    return crc(ALL_ONES, uuid)


def inode_seed(seed: int, number: int, generation: int = 0) -> int:
    """What the checksums of an inode, and of the blocks that belong to it, start from."""
    return crc(seed, number.to_bytes(4, "little") + generation.to_bytes(4, "little"))
