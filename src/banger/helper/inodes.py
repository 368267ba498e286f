"""What debugfs tells of inodes and directories, as values; and the way from a path of the guest to its inode and bytes.

The file system may be anybody's. Names stay bytes and are never used as paths of this host; files are asked for by
inode number. Files that claim to be larger than a disk, rows that no directory can hold, links in a circle: each ends
in `debugfs.Unusable`.
"""

import re
import stat as modes
from typing import NamedTuple

from .debugfs import NOT_FOUND, PATH_LIMIT, Answer, Asked, Missing, Plan, Unusable, quoted, spelled, words

HOPS = 40
TYPES = {
    b"regular": modes.S_IFREG, b"directory": modes.S_IFDIR, b"symlink": modes.S_IFLNK, b"FIFO": modes.S_IFIFO,
    b"character": modes.S_IFCHR, b"block": modes.S_IFBLK, b"socket": modes.S_IFSOCK,
}  # fmt: skip
"""debugfs's words for the types of an inode."""

_ROW = re.compile(rb"/(\d+)/(\d{6})/(-?\d+)/(-?\d+)/([^/\0]*)/(-?\d*)/\n", re.DOTALL)
_STAT = re.compile(
    rb"\AInode: (\d+) +Type: (\w+)[^\n]* Mode: +(\d+)[^\n]*\n[^\n]*\n"
    rb"User: +(-?\d+) +Group: +(-?\d+)(?: +Project: +-?\d+)? +Size: (\d+)\nFile ACL: (\d+)[^\n]*\nLinks: (\d+)"
)
_FAST_LINK = re.compile(rb'^Fast link dest: "(.*)"$', re.MULTILINE | re.DOTALL)


class Entry(NamedTuple):
    """A name in a directory. ``mode`` has the type, as in stat(2)."""

    name: bytes
    inode: int
    mode: int
    uid: int
    gid: int
    size: int

    @property
    def is_directory(self) -> bool:
        return modes.S_ISDIR(self.mode)

    @property
    def is_regular(self) -> bool:
        return modes.S_ISREG(self.mode)


class Inode(NamedTuple):
    """An inode as ``stat`` tells it. ``attributes`` is the block of extended attributes outside of it, 0 for none."""

    number: int
    mode: int
    uid: int
    gid: int
    size: int
    attributes: int
    links: int
    target: bytes | None
    """Of a short symbolic link; a long one keeps it in its data."""


def inode_of(answer: Answer) -> Inode | None:
    """What ``stat`` answered; None when there is no such name. Raises `Unusable` for anything else."""
    if answer.complaints:
        if all(NOT_FOUND in each for each in answer.complaints):
            return None
        raise Unusable(words(answer.complaints))
    found = _STAT.match(answer.output)
    if found is None or found[2] not in TYPES:
        raise Unusable(f"no such inode: {words([answer.output[:80]]) or 'no answer'}")
    link = _FAST_LINK.search(answer.output)
    number, mode, uid, gid, size, attributes, links = (
        int(found[at], 8 if at == 3 else 10) for at in (1, 3, 4, 5, 6, 7, 8)
    )
    target = link[1] if link is not None else None
    return Inode(number, TYPES[found[2]] | mode, uid % (1 << 32), gid % (1 << 32), size, attributes, links, target)


def rows_of(answer: Answer) -> list[Entry]:
    """The entries of a directory, less ``.`` and ``..``. Raises `Unusable`."""
    if answer.complaints:
        raise Unusable(words(answer.complaints))
    found, at = [], 0
    for row in _ROW.finditer(answer.output):
        if row.start() != at:
            break
        at = row.end()
        number, mode, uid, gid, name, size = row.groups()
        unused = name == b"" and int(number) == 0  # room in a block, as mke2fs leaves it in lost+found
        if name not in (b".", b"..") and not unused:
            found.append(
                Entry(name, int(number), int(mode, 8), int(uid) % (1 << 32), int(gid) % (1 << 32), int(size or 0))
            )
    if answer.output[at:].strip(b"\n") or any(not each.name or each.size < 0 for each in found):
        raise Unusable("a directory holds a name that no directory can hold")
    return found


def stat(path: str) -> Plan[Inode | None]:
    """The inode at a path of the guest, a symbolic link itself; None when there is none. Raises `Unspeakable`."""
    word = spelled(path)
    return inode_of((yield Asked([[f"stat {word}"]]))[0])


def resolve(path: str) -> Plan[Inode | None]:
    """As `stat`, following symbolic links inside the guest's tree. Raises the same, also for links in a circle."""
    spelled(path)
    for _ in range(HOPS):
        found = inode_of((yield Asked([[f"stat {quoted(path)}"]]))[0])
        if found is None or not modes.S_ISLNK(found.mode):
            return found
        target = found.target if found.target is not None else (yield from content(found, PATH_LIMIT))
        text = target.decode("utf-8", "surrogateescape")
        path = text if text.startswith("/") else f"{path.rpartition('/')[0]}/{text}"
    raise Unusable(f"{path[:80]} leads through too many symbolic links")


def listing(path: str) -> Plan[list[Entry]]:
    """What is in a directory; symbolic links are followed. Raises `Missing`, and as `stat`."""
    found = yield from resolve(path)
    if found is None or not modes.S_ISDIR(found.mode):
        raise Missing(path, "directory")
    return rows_of((yield Asked([[f"ls -p <{found.number}>"]]))[0])


def read(path: str, limit: int) -> Plan[bytes]:
    """The bytes of a file; symbolic links are followed. Raises `Missing`, and `Unusable` beyond ``limit`` bytes."""
    found = yield from resolve(path)
    if found is None or not modes.S_ISREG(found.mode):
        raise Missing(path)
    return (yield from content(found, limit))


def content(inode: Inode, limit: int) -> Plan[bytes]:
    """All bytes of an inode. Raises `Unusable`, also for more than ``limit``."""
    if inode.size > limit:
        raise Unusable(f"a file of {inode.size} bytes, which is more than {limit}")
    answer = (yield Asked([[f"cat <{inode.number}>"]], limit=limit + (1 << 20)))[0]
    if answer.complaints:
        raise Unusable(words(answer.complaints))
    if len(answer.output) != inode.size:
        raise Unusable(f"{len(answer.output)} of a file's {inode.size} bytes could be read")
    return answer.output
