"""What is in an ext4 file, read without mounting it: one name, a directory, a file's bytes, a whole subtree.

The file system may be anybody's. Names stay bytes and are never used as paths of this host; files are asked for by
inode number. Directories that contain themselves, files that claim to be larger than a disk, rows that no directory
can hold: each ends in `errors.UnusableDisk`, and all of it within the limits of `banger.disk.debugfs`.
"""

import os
import re
import stat as modes
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from banger import errors
from banger.disk import debugfs
from banger.disk.debugfs import Answer
from banger.text import printable

HOPS = 40
_DUMP_BYTES_PER_SECOND = 20 << 20
DEPTH_LIMIT = 256
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


def inode_of(image: str, answer: Answer) -> Inode | None:
    """What ``stat`` answered; None when there is no such name. Raises `errors.UnusableDisk` for anything else."""
    if answer.complaints:
        if all(debugfs.NOT_FOUND in each for each in answer.complaints):
            return None
        raise complaint(image, answer)
    found = _STAT.match(answer.output)
    if found is None or found[2] not in TYPES:
        raise errors.UnusableDisk(path=image, reason=f"no such inode: {printable(answer.output, 80) or 'no answer'}")
    link = _FAST_LINK.search(answer.output)
    number, mode, uid, gid, size, attributes, links = (
        int(found[at], 8 if at == 3 else 10) for at in (1, 3, 4, 5, 6, 7, 8)
    )
    target = link[1] if link is not None else None
    return Inode(number, TYPES[found[2]] | mode, uid % (1 << 32), gid % (1 << 32), size, attributes, links, target)


def complaint(image: str, answer: Answer) -> errors.UnusableDisk:
    """The error that debugfs's own words make."""
    return errors.UnusableDisk(path=image, reason=printable(b" / ".join(answer.complaints[:3]), 300))


def rows_of(image: str, answer: Answer) -> list[Entry]:
    """The entries of a directory, less ``.`` and ``..``. Raises `errors.UnusableDisk`."""
    if answer.complaints:
        raise complaint(image, answer)
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
        raise errors.UnusableDisk(path=image, reason="a directory holds a name that no directory can hold")
    return found


async def stat(image: str, path: str) -> Inode | None:
    """The inode at a path of the guest, a symbolic link itself; None when there is none.

    Raises `errors.UsageError`, `errors.UnusableDisk`.
    """
    word = debugfs.spelled(path)
    return inode_of(image, (await debugfs.ask(image, [[f"stat {word}"]]))[0])


async def resolve(image: str, path: str) -> Inode | None:
    """As `stat`, following symbolic links inside the guest's tree. Raises the same, also for links in a circle."""
    debugfs.spelled(path)
    for _ in range(HOPS):
        found = inode_of(image, (await debugfs.ask(image, [[f"stat {debugfs.quoted(path)}"]]))[0])
        if found is None or not modes.S_ISLNK(found.mode):
            return found
        target = found.target if found.target is not None else await _bytes(image, found, debugfs.PATH_LIMIT)
        text = target.decode("utf-8", "surrogateescape")
        path = text if text.startswith("/") else f"{path.rpartition('/')[0]}/{text}"
    raise errors.UnusableDisk(path=image, reason=f"{printable(path, 80)} leads through too many symbolic links")


async def listing(image: str, path: str) -> list[Entry]:
    """What is in a directory; symbolic links are followed. Raises `errors.NoSuchPath`, and as `stat`."""
    found = await resolve(image, path)
    if found is None or not modes.S_ISDIR(found.mode):
        raise errors.NoSuchPath(path=f"{image}:{path}", kind="directory")
    return rows_of(image, (await debugfs.ask(image, [[f"ls -p <{found.number}>"]]))[0])


async def read(image: str, path: str, limit: int) -> bytes:
    """The bytes of a file; symbolic links are followed.

    Raises `errors.NoSuchPath`, `errors.UnusableDisk` for a file of more than ``limit`` bytes, and as `stat`.
    """
    found = await resolve(image, path)
    if found is None or not modes.S_ISREG(found.mode):
        raise errors.NoSuchPath(path=f"{image}:{path}", kind="file")
    return await _bytes(image, found, limit)


async def _bytes(image: str, inode: Inode, limit: int) -> bytes:
    if inode.size > limit:
        raise errors.UnusableDisk(path=image, reason=f"a file of {inode.size} bytes, which is more than {limit}")
    asked = [[f"cat <{inode.number}>"]]
    answer = (await debugfs.ask(image, asked, limit=limit + (1 << 20)))[0]
    if answer.complaints or len(answer.output) != inode.size:
        raise (
            complaint(image, answer)
            if answer.complaints
            else errors.UnusableDisk(
                path=image, reason=f"{len(answer.output)} of a file's {inode.size} bytes could be read"
            )
        )
    return answer.output


async def dump(image: str, sizes: Mapping[int, int], directory: str) -> None:
    """Write files to ``directory``, each under its inode's number; ``sizes`` are the inodes and what they hold.

    Raises `errors.UnusableDisk` for a file that cannot be read whole.
    """
    numbers = list(sizes)
    asked = [[f"dump <{number}> {debugfs.quoted(os.path.join(directory, str(number)))}"] for number in numbers]
    seconds = debugfs.SECONDS + sum(sizes.values()) / _DUMP_BYTES_PER_SECOND
    for number, answer in zip(numbers, await debugfs.ask(image, asked, seconds=seconds), strict=True):
        path = os.path.join(directory, str(number))
        if answer.complaints:
            raise complaint(image, answer)
        if not os.path.exists(path) or os.path.getsize(path) != sizes[number]:
            raise errors.UnusableDisk(path=image, reason=f"inode {number} could not be read whole")


class Place(NamedTuple):
    """An entry of a subtree, and the names that lead to it from the subtree's top."""

    trail: tuple[bytes, ...]
    entry: Entry


async def subtree(image: str, top: int, entries: int) -> list[Place]:
    """All that lies below the directory of inode ``top``, each after what holds it; at most ``entries`` of them.

    Raises `errors.UnusableDisk`, also for a directory that is met twice.
    """
    found: list[Place] = []
    level: list[tuple[tuple[bytes, ...], int]] = [((), top)]
    seen = {top}
    while level:
        asked = [[f"ls -p <{number}>"] for _, number in level]
        answers = await debugfs.ask(image, asked)
        places = list(_level(image, level, answers))
        found += places
        folders = [(place.trail, place.entry.inode) for place in places if place.entry.is_directory]
        for trail, number in folders:
            if number in seen or len(trail) > DEPTH_LIMIT:
                raise errors.UnusableDisk(path=image, reason="a directory that contains itself, or lies too deep")
            seen.add(number)
        if len(found) > entries:
            raise errors.UnusableDisk(path=image, reason=f"a directory with more than {entries} files in it")
        level = folders
    return found


def _level(image: str, level: list[tuple[tuple[bytes, ...], int]], answers: list[Answer]) -> Iterator[Place]:
    for (trail, _), answer in zip(level, answers, strict=True):
        for entry in rows_of(image, answer):
            yield Place((*trail, entry.name), entry)
