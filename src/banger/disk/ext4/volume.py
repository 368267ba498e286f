"""A whole filesystem: everything that is not file data, laid out behind it and written in order.

The caller has put the data of files through a `DataArea` and hangs the tree under one root `Node`. `write` numbers
the inodes (depth first, names in order), serialises directories, links and attributes, chooses the size when none was
given, places inode tables and bitmaps, and ends with the superblocks. The same tree and the same identity give the
same bytes.
"""

import hashlib
import os
import struct
from typing import NamedTuple

from banger import errors
from banger.disk.ext4 import directory, extent, group, htree, inode, journal, resize, xattr
from banger.disk.ext4.checksum import filesystem_seed, inode_seed
from banger.disk.ext4.data import DataArea
from banger.disk.ext4.geometry import (
    BLOCK,
    BYTES_PER_INODE,
    DESCRIPTORS_PER_BLOCK,
    GROUP_BLOCKS,
    INODE,
    INODES_PER_BLOCK,
    SMALLEST,
    extents_of,
    groups_of,
    has_superblock,
)  # fmt: skip
from banger.disk.ext4.inode import InodeTable
from banger.disk.ext4.node import Content, Node
from banger.disk.ext4.superblock import MADE_AT, Superblock

ROOT, JOURNAL, LOST_AND_FOUND = 2, 8, 11
LOST_AND_FOUND_BLOCKS = 4
FAST_SYMLINK = 60
"""A shorter target lies in the inode itself."""

MOST_SUBDIRECTORIES = 64_998
"""With more, a directory's link count is 1, which means that nobody counts (dir_nlink)."""

DEFAULT_LEAST = 1 << 30
"""Of a size that follows from the content."""

_MADE = MADE_AT * 1_000_000_000
_EMPTY = Content()
_IDENTITY = bytes.fromhex("8d3f2c0e5b7a5e0c9c7e3f6f1d2a4b59")
_MIB = 1 << 20


class Summary(NamedTuple):
    """What was written. ``size`` is that of the file, ``used`` the bytes of blocks that are not free."""

    size: int
    used: int
    inodes: int
    uuid: str


def write(
    descriptor: int,
    area: DataArea,
    root: Node,
    *,
    size: int | None,
    seed: str,
    label: bytes = b"",
    least: int = DEFAULT_LEAST,
) -> Summary:
    """Write the filesystem into the file. ``seed`` decides the UUID and the hashes of directories.

    Without ``size`` it gets 1.5 times its content, and ``least`` bytes at least.

    Raises `errors.ImageTooSmall`, OSError.
    """
    return _Volume(descriptor, area, root, seed, label, least).write(size)


def fitting(area: DataArea) -> int:
    """A size for a small filesystem of its own: half as much again as the data in ``area``, at least the smallest."""
    return max(SMALLEST, _whole(area.next * BLOCK * 3 // 2))


class _Volume:
    def __init__(self, descriptor: int, area: DataArea, root: Node, seed: str, label: bytes, least: int) -> None:
        self._descriptor = descriptor
        self._least = least
        self._label = label
        self._area = area
        self._root = root
        self._uuid = named_uuid(seed)
        self._hash_seed = named_uuid(seed + " directory hash")
        self._seed = filesystem_seed(self._uuid)
        self._xattr_blocks = xattr.XattrBlocks(area, self._seed)
        self._nodes: list[Node] = []
        self._inodes = InodeTable(0, self._seed)

    def write(self, size: int | None) -> Summary:
        self._number()
        self._inodes = InodeTable(LOST_AND_FOUND - 1 + len(self._nodes) - 1, self._seed)
        hash_seed = struct.unpack("<4I", self._hash_seed)
        self._write_tree(self._root, hash_seed)
        self._xattr_blocks.write()
        journal_block, journal_size = self._write_journal(size)
        indirect = self._area.reserve(1)[0][0]
        size, per_group = self._choose_size(size)
        blocks = self._area.geometry.usable_blocks(size)
        count = groups_of(blocks)
        groups = group.place(self._area, count, per_group // INODES_PER_BLOCK)
        if self._area.next > blocks:
            raise errors.ImageTooSmall(size=_human(size), needed=_human(self._needed(per_group)))
        os.ftruncate(self._descriptor, size)
        descriptor_blocks = -(-count // DESCRIPTORS_PER_BLOCK)
        self._write_resize(indirect, 1 + descriptor_blocks, count)
        self._area.settle()
        self._write_inodes(groups, per_group)
        table = group.GroupTable(
            self._area,
            groups,
            blocks=blocks,
            inodes_per_group=per_group,
            inodes_used=self._inodes.count,
            seed=self._seed,
        )
        descriptors, counts = table.write(self._directories(per_group))
        superblock = Superblock(
            blocks, count * per_group, per_group, *counts, self._area.geometry.table_blocks - descriptor_blocks,
            self._uuid, self._hash_seed, JOURNAL, journal_block, journal_size, self._label,
        )  # fmt: skip
        for number in filter(has_superblock, range(count)):
            self._area.put(number * GROUP_BLOCKS, superblock.block(number))
            self._area.put(number * GROUP_BLOCKS + 1, descriptors)
        return Summary(size, (blocks - counts.free_blocks) * BLOCK, len(self._nodes), _spelled(self._uuid))

    def _number(self) -> None:
        """Give each inode its number and count its names."""
        root = self._root
        lost = root.children.get(b"lost+found")
        if lost is None or not lost.is_directory:
            lost = root.children[b"lost+found"] = Node.directory(0o700, mtime=MADE_AT * 1_000_000_000)
        root.number, lost.number = ROOT, LOST_AND_FOUND
        self._nodes = [root, lost]
        waiting = [root]
        following = LOST_AND_FOUND + 1
        while waiting:
            node = waiting.pop()
            below = []
            for _, child in sorted(node.children.items()):
                if child.is_directory:
                    below.append(child)
                if child.number == 0:
                    child.number, child.links = following, 0
                    following += 1
                    self._nodes.append(child)
                child.links += 1
            node.links = 2 + len(below) if len(below) <= MOST_SUBDIRECTORIES else 1
            waiting.extend(reversed(below))

    def _write_tree(self, root: Node, hash_seed: tuple[int, ...]) -> None:
        """Write directories and links, and pack all inodes."""
        waiting = [(root, root)]
        while waiting:
            node, parent = waiting.pop()
            waiting.extend((child, node) for child in node.children.values() if child.is_directory)
            own_seed = inode_seed(self._seed, node.number)
            entries = directory.entries_of(node, parent)
            linear = directory.pack(entries)
            flags = 0
            if len(linear) == 1:
                data = directory.linear_block(entries, own_seed)
            else:
                data, flags = htree.indexed(entries, own_seed, hash_seed), inode.INDEX
            if node.number == LOST_AND_FOUND and not flags:
                data += directory.linear_block([], own_seed) * (LOST_AND_FOUND_BLOCKS - 1)
            content = Content(len(data))
            self._area.write(content, 0, data)
            self._pack(node, content, flags)
        for node in self._nodes:
            if not node.is_directory:
                self._pack_leaf(node)

    def _pack_leaf(self, node: Node) -> None:
        if not node.is_symlink:
            self._pack(node, node.content or _EMPTY, 0)
        elif len(node.target) < FAST_SYMLINK:
            self._pack(node, Content(len(node.target)), 0, inline=node.target)
        else:
            content = Content(len(node.target))
            self._area.write(content, 0, node.target)
            self._pack(node, content, 0)

    def _pack(self, node: Node, content: Content, flags: int, inline: bytes = b"") -> None:
        blocks = 0
        block: bytes | None = inline
        if not inline:
            flags |= inode.EXTENTS
            extents = content.extents
            block = extent.root(extents)
            if block is None:
                block, blocks = extent.tree(self._area, inode_seed(self._seed, node.number), extents)
            for _, _, count in extents:
                blocks += count
        xattrs, xattr_block = b"", 0
        if node.xattrs:
            entries = xattr.on_disk(node.xattrs)
            inside = xattr.in_inode(entries)
            if inside is not None:
                xattrs = inside
            else:
                xattr_block = self._xattr_blocks.block_for(entries)
                blocks += 1
        self._inodes.put(
            node.number, node.mode, (node.uid, node.gid), content.size, node.links, blocks * 8, flags, block or b"",
            node.mtime, xattrs, xattr_block,
        )  # fmt: skip

    def _write_journal(self, size: int | None) -> tuple[bytes, int]:
        """Returns the journal's i_block and its size."""
        blocks = journal.blocks_for(self._least if size is None else size)
        runs = self._area.reserve(blocks)
        self._area.put(runs[0][0], journal.superblock(blocks, self._uuid))
        own_seed = inode_seed(self._seed, JOURNAL)
        block, tree_blocks = extent.tree(self._area, own_seed, extents_of(runs))
        sectors = (blocks + tree_blocks) * 8
        self._inodes.put(JOURNAL, 0o100600, (0, 0), blocks * BLOCK, 1, sectors, inode.EXTENTS, block, _MADE)
        return block, blocks * BLOCK

    def _write_resize(self, indirect: int, first: int, groups: int) -> None:
        reserved = self._area.geometry.head_blocks - first
        double, listed, blocks = resize.plan(first, reserved, groups)
        self._area.put(indirect, double)
        for reserved_block, data in listed:
            self._area.put(reserved_block, data)
        block = resize.i_block(indirect)
        self._inodes.put(resize.NUMBER, 0o100600, (0, 0), resize.SIZE, 1, blocks * 8, 0, block, _MADE)

    def _choose_size(self, size: int | None) -> tuple[int, int]:
        """The size, and how many inodes each group gets. Raises `errors.ImageTooSmall`."""
        needed = LOST_AND_FOUND + len(self._nodes)
        if size is not None:
            per_group = _inodes_per_group(size, needed)
            if size < SMALLEST or per_group > GROUP_BLOCKS or self._area.overflowed:
                raise errors.ImageTooSmall(size=_human(size), needed=_human(self._needed(min(per_group, GROUP_BLOCKS))))
            return size, per_group
        size = _whole(max(self._least, self._area.next * BLOCK * 3 // 2))
        while _inodes_per_group(size, needed) > GROUP_BLOCKS or self._needed(_inodes_per_group(size, needed)) > size:
            size = _whole(size * 5 // 4)
        if size > self._area.geometry.blocks_limit * BLOCK:
            raise errors.ImageTooSmall(size=_human(self._area.geometry.blocks_limit * BLOCK), needed=_human(size))
        return size, _inodes_per_group(size, needed)

    def _needed(self, per_group: int) -> int:
        """Bytes that all of it takes with that many inodes in each group: data, tables, copies, some air."""
        least = max(self._area.next, -(-len(self._nodes) // per_group) * GROUP_BLOCKS)
        count = groups_of(least) + 1
        least += count * (2 + per_group // INODES_PER_BLOCK) + self._area.geometry.head_blocks * 2
        return max(SMALLEST, _whole(least * BLOCK))

    def _write_inodes(self, groups: list[group.Group], per_group: int) -> None:
        length = per_group * INODE
        table = self._inodes.finish()
        for number, each in enumerate(groups):
            part = table[number * length : (number + 1) * length]
            if not part:
                break
            self._area.put(each.inode_table, part)

    def _directories(self, per_group: int) -> dict[int, int]:
        counted: dict[int, int] = {}
        for node in self._nodes:
            if node.is_directory:
                at = (node.number - 1) // per_group
                counted[at] = counted.get(at, 0) + 1
        return counted


def _inodes_per_group(size: int, needed: int) -> int:
    count = groups_of(size // BLOCK)
    wanted = max(size // BYTES_PER_INODE, needed + needed // 8)
    each = -(-wanted // count)
    return -(-each // INODES_PER_BLOCK) * INODES_PER_BLOCK


def named_uuid(name: str) -> bytes:
    """The UUID of a name (version 5 of RFC 9562), without the start-up time of the module uuid."""
    digest = bytearray(hashlib.sha1(_IDENTITY + name.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    return bytes(digest)


def _spelled(uuid: bytes) -> str:
    text = uuid.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _whole(size: int) -> int:
    return -(-size // _MIB) * _MIB


def _human(size: int) -> str:
    return f"{-(-size // _MIB)} MiB"
