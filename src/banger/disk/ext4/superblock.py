"""The superblock: 1024 bytes at offset 1024, copied to the start of the sparse_super groups.

The features are those of Debian 12's mke2fs: has_journal ext_attr resize_inode dir_index, filetype extent 64bit
flex_bg, sparse_super large_file huge_file dir_nlink extra_isize metadata_csum.
"""

import struct
from typing import NamedTuple

from banger.disk.ext4.checksum import ALL_ONES, crc
from banger.disk.ext4.geometry import BLOCK, DESCRIPTOR, GROUP_BLOCKS, INODE
from banger.disk.ext4.htree import HALF_MD4

COMPATIBLE = 0x3C
INCOMPATIBLE = 0x2C2
READ_ONLY_COMPATIBLE = 0x46B

MADE_AT = 1_577_836_800
"""All times of the filesystem itself: the same tree gives the same bytes."""

_SIGNED_HASH = 1
_JOURNAL_BACKUP = 1
_DEFAULT_MOUNT_OPTIONS = 0x0C
"""user_xattr and acl."""

_LOG_GROUPS_PER_FLEX = 4
_CRC32C = 1


class Superblock(NamedTuple):
    """What differs between filesystems."""

    blocks: int
    inodes: int
    inodes_per_group: int
    free_blocks: int
    free_inodes: int
    reserved_descriptor_blocks: int
    uuid: bytes
    hash_seed: bytes
    journal_number: int
    journal_block: bytes
    journal_size: int
    label: bytes = b""

    def pack(self, group: int) -> bytes:
        """The copy that lies in ``group``."""
        packed = bytearray(1024)

        def put(offset: int, form: str, *values: int | bytes) -> None:
            struct.pack_into("<" + form, packed, offset, *values)

        put(0x00, "6I", self.inodes, self.blocks & ALL_ONES, 0, self.free_blocks & ALL_ONES, self.free_inodes, 0)
        put(0x18, "5I", 2, 2, GROUP_BLOCKS, GROUP_BLOCKS, self.inodes_per_group)
        put(0x2C, "IIHHHHHHIIIIHH", 0, MADE_AT, 0, 0xFFFF, 0xEF53, 1, 1, 0, MADE_AT, 0, 0, 1, 0, 0)
        put(0x54, "IHHIII", 11, INODE, group, COMPATIBLE, INCOMPATIBLE, READ_ONLY_COMPATIBLE)
        put(0x68, "16s16s", self.uuid, self.label)
        put(0xCE, "H", self.reserved_descriptor_blocks)
        put(0xE0, "III", self.journal_number, 0, 0)
        put(0xEC, "16sBBH", self.hash_seed, HALF_MD4, _JOURNAL_BACKUP, DESCRIPTOR)
        put(0x100, "III", _DEFAULT_MOUNT_OPTIONS, 0, MADE_AT)
        put(0x10C, "60sII", self.journal_block, self.journal_size >> 32, self.journal_size & ALL_ONES)
        put(0x150, "IIIHHI", self.blocks >> 32, 0, self.free_blocks >> 32, 32, 32, _SIGNED_HASH)
        put(0x174, "BB", _LOG_GROUPS_PER_FLEX, _CRC32C)
        put(0x3FC, "I", crc(ALL_ONES, packed[:0x3FC]))
        return bytes(packed)

    def block(self, group: int) -> bytes:
        """The whole block that holds it: group 0 begins with a boot sector's room."""
        packed = self.pack(group)
        return (bytes(1024) + packed if group == 0 else packed).ljust(BLOCK, b"\0")
