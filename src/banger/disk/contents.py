"""What is in an ext4 file, read without mounting it: one name, a directory, a file's bytes, a whole subtree.

The file system may be anybody's. Names stay bytes and are never used as paths of this host; files are asked for by
inode number. Directories that contain themselves, files that claim to be larger than a disk, rows that no directory
can hold: each ends in `errors.UnusableDisk`, and all of it within the limits of `banger.disk.debugfs`.
"""

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from banger import errors
from banger.disk import debugfs
from banger.disk.debugfs import Answer, follow, told
from banger.privileged.ext4 import debugfs as talk
from banger.privileged.ext4 import inodes
from banger.text import printable

_DUMP_BYTES_PER_SECOND = 20 << 20
DEPTH_LIMIT = 256
Entry = inodes.Entry
Inode = inodes.Inode


async def stat(image: str, path: str) -> Inode | None:
    """The inode at a path of the guest, a symbolic link itself; None when there is none.

    Raises `errors.UsageError`, `errors.UnusableDisk`.
    """
    return await follow(image, inodes.stat(path))


async def resolve(image: str, path: str) -> Inode | None:
    """As `stat`, following symbolic links inside the guest's tree. Raises the same, also for links in a circle."""
    return await follow(image, inodes.resolve(path))


async def listing(image: str, path: str) -> list[Entry]:
    """What is in a directory; symbolic links are followed. Raises `errors.NoSuchPath`, and as `stat`."""
    return await follow(image, inodes.listing(path))


async def read(image: str, path: str, limit: int) -> bytes:
    """The bytes of a file; symbolic links are followed.

    Raises `errors.NoSuchPath`, `errors.UnusableDisk` for a file of more than ``limit`` bytes, and as `stat`.
    """
    return await follow(image, inodes.read(path, limit))


async def dump(image: str, sizes: Mapping[int, int], directory: str) -> None:
    """Write files to ``directory``, each under its inode's number; ``sizes`` are the inodes and what they hold.

    Raises `errors.UnusableDisk` for a file that cannot be read whole.
    """
    numbers = list(sizes)
    asked = [[f"dump <{number}> {talk.quoted(os.path.join(directory, str(number)))}"] for number in numbers]
    seconds = debugfs.SECONDS + sum(sizes.values()) / _DUMP_BYTES_PER_SECOND
    for number, answer in zip(numbers, await debugfs.ask(image, asked, seconds=seconds), strict=True):
        path = os.path.join(directory, str(number))
        if answer.complaints:
            raise errors.UnusableDisk(path=image, reason=printable(talk.words(answer.complaints), 300))
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
        with told(image):
            places = list(_level(level, answers))
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


def _level(level: list[tuple[tuple[bytes, ...], int]], answers: list[Answer]) -> Iterator[Place]:
    for (trail, _), answer in zip(level, answers, strict=True):
        for entry in inodes.rows_of(answer):
            yield Place((*trail, entry.name), entry)
