"""The tree that becomes a filesystem: inodes in memory, directories as dictionaries of names.

A hard link is one `Node` under several names. Names are bytes without ``/`` and NUL, 1 to 255 long; the writer trusts
that. Times are nanoseconds since the epoch. Extended attributes have their full names (``user.x``,
``security.capability``) and the values that the kernel's getxattr would give.
"""

import stat

Extent = tuple[int, int, int]
"""Blocks of a file that lie together: first block in the file, first block on the disk, how many."""

TIME_MIN = -(1 << 31) * 1_000_000_000
TIME_MAX = ((1 << 34) - (1 << 31)) * 1_000_000_000 - 1
"""What 34 bits of seconds and 30 of nanoseconds hold: 1901 to 2446."""


class Content:
    """The bytes of a regular file: how long it is, and where its blocks lie. What no extent covers is a hole."""

    __slots__ = ("extents", "size")

    def __init__(self, size: int = 0) -> None:
        self.size = size
        self.extents: list[Extent] = []


class Node:
    """An inode. ``mode`` holds type and permissions as in stat(2)."""

    __slots__ = ("children", "content", "gid", "links", "mode", "mtime", "number", "target", "uid", "xattrs")

    def __init__(self, mode: int, uid: int = 0, gid: int = 0, mtime: int = 0) -> None:
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.mtime = mtime
        self.xattrs: dict[bytes, bytes] | None = None
        self.content: Content | None = None
        self.target = b""
        self.children: dict[bytes, Node] = {}
        self.number = 0
        self.links = 0

    @classmethod
    def directory(cls, permissions: int = 0o755, uid: int = 0, gid: int = 0, mtime: int = 0) -> "Node":
        return cls(stat.S_IFDIR | permissions, uid, gid, mtime)

    @property
    def is_directory(self) -> bool:
        return self.mode & 0o170000 == stat.S_IFDIR

    @property
    def is_symlink(self) -> bool:
        return self.mode & 0o170000 == stat.S_IFLNK

    @property
    def is_regular(self) -> bool:
        return self.mode & 0o170000 == stat.S_IFREG
