"""A directory of this host as the tree of a new file system, its files' data written where it will stay.

The directory is read without following links, each name from the open directory that holds it, so that whoever
renames or replaces things meanwhile cannot lead out of it; what changes while it is read is an error or is read as it
was at one moment, never somebody else's file. Kept: names as they are, types, modes with setuid, nanosecond times,
hard links, holes, and the extended attributes that this process can read, less the labels of the host's own security
module. Left out and counted: devices, fifos, sockets, and what other file systems are mounted on (their mount points
stay as empty directories). A top ``lost+found`` is the new file system's own.

The same tree gives the same digest and the same bytes: names are sorted, and holes are looked for in the data,
wherever the host's own file system has them.
"""

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Collection
from typing import NamedTuple

from banger import errors
from banger.disk.ext4 import xattr
from banger.disk.ext4.data import DataArea
from banger.disk.ext4.geometry import BLOCK
from banger.disk.ext4.node import TIME_MAX, TIME_MIN, Content, Node
from banger.text import printable

Ids = Callable[[int, int], tuple[int, int]]
"""Which owner and group a file of this owner and group gets."""

ENTRY_LIMIT = 1 << 20
DEPTH_LIMIT = 512
LINK_LIMIT = 65_000
_CHUNK = 1 << 20
_ZEROS = bytes(_CHUNK)
_HOST_LABELS = (b"security.selinux", b"security.evm", b"security.ima", b"security.SMACK64", b"security.apparmor")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class HostTree(NamedTuple):
    """What was read. ``bytes`` is the size of all files, ``skipped`` counts what was left out."""

    root: Node
    digest: str
    bytes: int
    skipped: int


def read(
    directory: str,
    area: DataArea,
    *,
    ids: Ids = lambda uid, gid: (uid, gid),
    without: Collection[str] = (),
    on_read: Callable[[int], None] = lambda count: None,
) -> HostTree:
    """Read all that is below ``directory``; the directories in ``without`` become empty.

    Raises `errors.SourceUnavailable` with the name that cannot be read, OSError from the disk that is written.
    """
    return _Reader(directory, area, ids, without, on_read).read()


def as_root(uid: int, gid: int) -> tuple[int, int]:
    """Everything is root's."""
    return 0, 0


def callers_as_root() -> Ids:
    """What belongs to the calling user and their group becomes root's: a plain user cannot have made files of root's.

    Other ids stay, and for root all do.
    """
    own_uid, own_gid = os.geteuid(), os.getegid()
    return lambda uid, gid: (0 if uid == own_uid else uid, 0 if gid == own_gid else gid)


class _Refused(Exception):
    """The text says why."""


class _DiskFault(Exception):
    """An OSError of the disk that is written, which is not the fault of the name at hand."""


class _Level(NamedTuple):
    """An open directory on the way down, and the names in it that are still to be read, last first."""

    node: Node
    descriptor: int
    names: list[bytes]


class _Reader:
    def __init__(
        self,
        directory: str,
        area: DataArea,
        ids: Ids,
        without: Collection[str],
        on_read: Callable[[int], None],
    ) -> None:
        self._directory = directory
        self._area = area
        self._ids = ids
        self._on_read = on_read
        self._without = {(found.st_dev, found.st_ino) for each in without if (found := _stat(each)) is not None}
        self._device = 0
        self._linked: dict[tuple[int, int], tuple[Node, bytes]] = {}
        self._hash = hashlib.sha256()
        self._bytes = self._skipped = self._entries = 0
        self._at: list[bytes] = []
        """The name at hand, from the top."""

    def read(self) -> HostTree:
        try:
            root = self._tree()
        except _DiskFault as fault:
            raise fault.args[0] from None
        except (_Refused, OSError) as fault:
            reason = fault.strerror if isinstance(fault, OSError) else str(fault)
            name = printable(b"/".join(self._at), 200)
            raise errors.SourceUnavailable(
                reference=self._directory, reason=f"{name}: {reason}" if name else reason
            ) from None
        return HostTree(root, f"sha256:{self._hash.hexdigest()}", self._bytes, self._skipped)

    def _tree(self) -> Node:
        descriptor = os.open(self._directory, _DIRECTORY & ~os.O_NOFOLLOW)
        levels: list[_Level] = []
        try:
            found = os.fstat(descriptor)
            self._device = found.st_dev
            root = Node.directory(mtime=_time(found))
            root.xattrs = self._attributes(descriptor)
            self._note(b"", root)
            levels.append(_level(root, descriptor))
            while levels:
                level = levels[-1]
                del self._at[len(levels) - 1 :]
                if not level.names:
                    os.close(levels.pop().descriptor)
                    continue
                self._at.append(level.names.pop())
                below = self._entry(level)
                if below is not None:
                    levels.append(below)
        finally:
            for level in levels:
                os.close(level.descriptor)
        return root

    def _entry(self, level: _Level) -> _Level | None:
        """Read the name at hand; a directory is returned open."""
        name, folder = self._at[-1], level.descriptor
        self._entries += 1
        if self._entries > ENTRY_LIMIT:
            raise _Refused(f"there are more than {ENTRY_LIMIT} files")
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            return self._folder(level) if self._at != [b"lost+found"] else None
        if stat.S_ISREG(found.st_mode):
            level.node.children[name] = self._file(name, folder)
        elif stat.S_ISLNK(found.st_mode):
            node = self._node(found)
            node.mode, node.target = stat.S_IFLNK | 0o777, os.fsencode(os.readlink(name, dir_fd=folder))
            level.node.children[name] = node
            self._note(b"/".join(self._at), node)
        else:
            self._skipped += 1
        return None

    def _node(self, found: os.stat_result) -> Node:
        return Node(found.st_mode, *self._ids(found.st_uid, found.st_gid), mtime=_time(found))

    def _folder(self, level: _Level) -> _Level | None:
        if len(self._at) > DEPTH_LIMIT:
            raise _Refused("directories lie too deep")
        descriptor = os.open(self._at[-1], _DIRECTORY, dir_fd=level.descriptor)
        try:
            found = os.fstat(descriptor)
            node = level.node.children[self._at[-1]] = self._node(found)
            node.xattrs = self._attributes(descriptor)
            self._note(b"/".join(self._at), node)
            if found.st_dev == self._device and (found.st_dev, found.st_ino) not in self._without:
                below = _level(node, descriptor)
                descriptor = -1
                return below
            self._skipped += 1
            return None
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _file(self, name: bytes, folder: int) -> Node:
        descriptor = os.open(name, _FILE, dir_fd=folder)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise _Refused("it was replaced while it was read")
            path = b"/".join(self._at)
            node, first = self._linked.get((found.st_dev, found.st_ino), (None, b""))
            if node is not None:
                node.links += 1
                if node.links >= LINK_LIMIT:
                    raise _Refused("a file with too many hard links")
                self._hash.update(b"%s\0%s\0" % (path, first))
                return node
            node = self._node(found)
            node.xattrs = self._attributes(descriptor)
            self._note(path, node, found.st_size)
            node.content = self._content(descriptor, found.st_size)
        finally:
            os.close(descriptor)
        if found.st_nlink > 1:
            self._linked[found.st_dev, found.st_ino] = node, path
        return node

    def _content(self, descriptor: int, size: int) -> Content:
        """Copy a file's data in chunks that are counted from its start; those of zeros are holes."""
        content = Content(size)
        at = 0
        while at < size:
            at = _next_data(descriptor, at, size) if size > _CHUNK else at
            wanted = min(_CHUNK, size - at)
            data = os.pread(descriptor, wanted, at) if wanted else b""
            if len(data) != wanted:
                raise _Refused("it became shorter while it was read")
            if data and data != _ZEROS[: len(data)]:
                self._hash.update(b"%d %d\0" % (at, len(data)))
                self._hash.update(data)
                self._keep(content, at, data)
            at += wanted
        self._bytes += size
        return content

    def _keep(self, content: Content, at: int, data: bytes) -> None:
        try:
            self._area.write_sparse(content, at // BLOCK, data, 0, len(data))
        except OSError as fault:
            raise _DiskFault(fault) from None
        self._on_read(len(data))

    def _attributes(self, descriptor: int) -> dict[bytes, bytes] | None:
        """The attributes that can be read; a file system that has none says so with an error."""
        kept: dict[bytes, bytes] = {}
        with contextlib.suppress(OSError):
            for name in map(os.fsencode, os.listxattr(descriptor)):
                if xattr.known(name) and name not in _HOST_LABELS:
                    with contextlib.suppress(OSError):
                        kept[name] = os.getxattr(descriptor, name)
        try:
            if kept and not xattr.fits(kept):
                raise _Refused("its extended attributes are too large")
        except ValueError as fault:
            raise _Refused(str(fault)) from None
        return kept or None

    def _note(self, path: bytes, node: Node, size: int = 0) -> None:
        """An entry's part of the digest: everything about it that the image will hold."""
        facts = b"%s\0%o %d %d %d %d %s\0" % (path, node.mode, node.uid, node.gid, node.mtime, size, node.target)
        self._hash.update(facts)
        for name, value in sorted((node.xattrs or {}).items()):
            self._hash.update(b"%s %d %s\0" % (name, len(value), value))


def _level(node: Node, descriptor: int) -> _Level:
    return _Level(node, descriptor, sorted(map(os.fsencode, os.listdir(descriptor)), reverse=True))


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _time(found: os.stat_result) -> int:
    return max(TIME_MIN, min(TIME_MAX, found.st_mtime_ns))


def _next_data(descriptor: int, at: int, size: int) -> int:
    """Where data goes on, counted in whole chunks, or the end."""
    try:
        found = os.lseek(descriptor, at, os.SEEK_DATA)
    except OSError as fault:
        return size if fault.errno == errno.ENXIO else at
    return max(at, found // _CHUNK * _CHUNK)
