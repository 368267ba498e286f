"""Extended attributes: up to 92 bytes of them in the inode, otherwise one block that inodes may share.

An entry names its namespace by an index. Access control lists have a form of their own on disk: version 1, and
entries without an id where the tag has none. In a block, entries are sorted and carry hashes; in the inode the kernel
wants neither.
"""

import struct

from banger.disk.ext4.checksum import crc
from banger.disk.ext4.data import DataArea
from banger.disk.ext4.geometry import BLOCK

MAGIC = 0xEA020000
IN_INODE = 92
"""What is left of 256 bytes behind the inode's fields and the magic number."""

SHARED_AT_MOST = 1024

_NAMESPACES = (
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"user.", 1),
    (b"trusted.", 4),
    (b"security.", 6),
)
_ENTRY = struct.Struct("<BBHIII")
_BLOCK_HEADER = struct.Struct("<IIIII12x")
_TAGS = (0x01, 0x02, 0x04, 0x08, 0x10, 0x20)
_NO_ID_TAGS = (0x01, 0x04, 0x10, 0x20)
"""Tags of ACL entries, and those of the owner, the owning group, the mask and the others (linux/posix_acl.h)."""

Sorted = tuple[int, bytes, bytes]
"""Namespace index, rest of the name, value in its form on disk."""


def known(name: bytes) -> bool:
    """Whether ext4 can store an attribute of this name."""
    for prefix, _ in _NAMESPACES:
        if name.startswith(prefix) and b"\0" not in name:
            return (name != prefix) == prefix.endswith(b".")
    return False


def fits(attributes: dict[bytes, bytes]) -> bool:
    """Whether an inode can have these."""
    entries = on_disk(attributes)
    return _need(entries) <= BLOCK - 32 and all(len(name) <= 255 for _, name, _ in entries)


def on_disk(attributes: dict[bytes, bytes]) -> list[Sorted]:
    """The attributes as entries, in the order that the kernel searches them."""
    entries = []
    for name, value in attributes.items():
        for prefix, index in _NAMESPACES:
            if name == prefix or (prefix.endswith(b".") and name.startswith(prefix)):
                entries.append((index, name[len(prefix) :], _acl(value) if index in (2, 3) else value))
                break
    return sorted(entries, key=lambda entry: (entry[0], len(entry[1]), entry[1]))


def _acl(value: bytes) -> bytes:
    """A list as getxattr gives it (version 2, 8 bytes an entry) in its form on disk."""
    if len(value) < 4 or (len(value) - 4) % 8 or value[:4] != b"\x02\0\0\0":
        raise ValueError("malformed access control list")
    packed = [struct.pack("<I", 1)]
    for tag, permissions, identity in struct.iter_unpack("<HHI", value[4:]):
        if tag not in _TAGS or permissions > 7:
            raise ValueError("malformed access control list")
        packed.append(struct.pack("<HH", tag, permissions))
        if tag not in _NO_ID_TAGS:
            packed.append(struct.pack("<I", identity))
    return b"".join(packed)


def _need(entries: list[Sorted]) -> int:
    """Bytes of entries, the four zero bytes that end them, and values."""
    return 4 + sum(16 + (len(name) + 3 & ~3) + (len(value) + 3 & ~3) for _, name, value in entries)


def in_inode(entries: list[Sorted]) -> bytes | None:
    """What follows the inode's fields, or None when it does not fit."""
    if _need(entries) > IN_INODE:
        return None
    return struct.pack("<I", MAGIC) + _body(entries, IN_INODE, 0, hashed=False)


def _body(entries: list[Sorted], length: int, offset: int, *, hashed: bool) -> bytes:
    """Entries from the front, values from the back; ``offset`` is added to where values are said to lie."""
    head = bytearray()
    values = b""
    for index, name, value in entries:
        values = value.ljust(len(value) + 3 & ~3, b"\0") + values
        at = length - len(values) + offset if value else 0
        digest = _entry_hash(name, value) if hashed else 0
        head += _ENTRY.pack(len(name), index, at, 0, len(value), digest) + name.ljust(len(name) + 3 & ~3, b"\0")
    return bytes(head) + bytes(length - len(head) - len(values)) + values


def _entry_hash(name: bytes, value: bytes) -> int:
    digest = 0
    for byte in name:
        digest = (digest << 5 ^ digest >> 27 ^ byte) & 0xFFFFFFFF
    for (word,) in struct.iter_unpack("<I", value.ljust(len(value) + 3 & ~3, b"\0")):
        digest = (digest << 16 ^ digest >> 16 ^ word) & 0xFFFFFFFF
    return digest


class XattrBlocks:
    """The blocks of attributes that do not fit into inodes; inodes with the same ones share a block."""

    def __init__(self, area: DataArea, seed: int) -> None:
        self._area = area
        self._seed = seed
        self._open: dict[tuple[Sorted, ...], list[int]] = {}
        self._users: list[tuple[list[int], tuple[Sorted, ...]]] = []

    def block_for(self, entries: list[Sorted]) -> int:
        """The block that holds these."""
        key = tuple(entries)
        shared = self._open.get(key)
        if shared is None or shared[1] == SHARED_AT_MOST:
            shared = self._open[key] = [self._area.reserve(1)[0][0], 0]
            self._users.append((shared, key))
        shared[1] += 1
        return shared[0]

    def write(self) -> None:
        """Write all blocks; their users are known now."""
        for (block, users), entries in self._users:
            digest = 0
            for _, name, value in entries:
                digest = (digest << 16 ^ digest >> 16 ^ _entry_hash(name, value)) & 0xFFFFFFFF
            body = _body(list(entries), BLOCK - 32, 32, hashed=True)
            header = _BLOCK_HEADER.pack(MAGIC, users, 1, digest, 0)
            checksum = crc(crc(self._seed, block.to_bytes(8, "little")), header + body)
            self._area.put(block, _BLOCK_HEADER.pack(MAGIC, users, 1, digest, checksum) + body)
