"""Which files an import is about, and what each of them was then.

On disk and on the wire: records that end with a zero byte, the first `HEADER`, then ``MODE SIZE MTIME_NS NAME`` for
each file or link, with MODE as stat(2) has it, in octal. Names are bytes and relative to the repository's top.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from banger import errors
from banger.workspace.repository import Repository
from banger.workspace.tree import Tree

HEADER = b"banger-workspace 1"
SUBMODULE = 0o160000

_TRACKED = re.compile(
    rb"(\d{6}) ([0-9a-f]+) (\d)\t([^\0]+)\0"
    rb"  ctime: \d+:\d+\n  mtime: (\d+):(\d+)\n  dev: \d+\tino: \d+\n"
    rb"  uid: \d+\tgid: \d+\n  size: (\d+)\tflags: ([0-9a-f]+)\n"
)
_SKIP_WORKTREE = 0x40000000


class Entry(NamedTuple):
    """A file or a link."""

    mode: int
    size: int
    mtime_ns: int


Listing = dict[bytes, Entry]


class Tracked(NamedTuple):
    """What the index of this host knows of a name, where it is not in conflict."""

    mode: int
    oid: str
    mtime_ns: int
    size: int
    skipped: bool
    """Left out of the working tree on purpose (git-sparse-checkout(1))."""


def dump(listing: Listing) -> bytes:
    records = (b"%o %d %d %s\0" % (*entry, name) for name, entry in listing.items())
    return HEADER + b"\0" + b"".join(records)


def load(data: bytes) -> list[Listing]:
    """The listings that were dumped one behind the other. Raises `errors.InternalError` for what is none."""
    found: list[Listing] = []
    for record in data.split(b"\0")[:-1]:
        if record == HEADER:
            found.append({})
            continue
        try:
            mode, size, mtime, name = record.split(b" ", 3)
            found[-1][name] = Entry(int(mode, 8), int(size), int(mtime))
        except (ValueError, IndexError):
            raise errors.InternalError(detail="the list of the last import cannot be read") from None
    return found


def tracked(repository: Repository) -> dict[bytes, Tracked | None]:
    """Every name in the index; None for one that is in conflict. Raises `errors.NoRepository` for submodules."""
    said = repository.git.ask("ls-files", "--stage", "--debug", "-z", "--full-name")
    found: dict[bytes, Tracked | None] = {}
    at = 0
    while at < len(said):
        record = _TRACKED.match(said, at)
        if record is None:
            return _plainly(repository)
        at = record.end()
        mode, oid, stage, name, seconds, fraction, size, flags = record.groups()
        _judge(repository, name, int(mode, 8))
        mtime = int(seconds) * 1_000_000_000 + int(fraction)
        skipped = bool(int(flags, 16) & _SKIP_WORKTREE)
        known = Tracked(int(mode, 8), oid.decode(), mtime, int(size), skipped)
        found[name] = known if stage == b"0" else None
    return found


def _plainly(repository: Repository) -> dict[bytes, Tracked | None]:
    """The same from a git whose debugging output is another: of times nothing is known, so nothing passes for clean."""
    found: dict[bytes, Tracked | None] = {}
    for record in repository.git.ask("ls-files", "--stage", "-z", "--full-name").split(b"\0")[:-1]:
        words, _, name = record.partition(b"\t")
        mode, oid, stage = words.split(b" ")
        _judge(repository, name, int(mode, 8))
        found[name] = Tracked(int(mode, 8), oid.decode(), 0, 0, False) if stage == b"0" else None
    return found


def _judge(repository: Repository, name: bytes, mode: int) -> None:
    """An index is a file that anybody may have written: no name leads out of the tree, or into ``.git``."""
    steps = name.lower().split(b"/")
    if b"" in steps or b"." in steps or b".." in steps or b".git" in steps:
        raise errors.NoRepository(path=repository.top, reason="its index holds a name that leads out of it")
    if mode == SUBMODULE:
        raise errors.NoRepository(path=repository.top, reason="a repository with submodules, which cannot be imported")


def untracked(repository: Repository) -> list[bytes]:
    """Files that git neither tracks nor ignores; none is looked into. Repositories inside this one are left out."""
    said = repository.git.ask("ls-files", "--others", "--exclude-standard", "-z", "--full-name")
    return [each for each in said.split(b"\0")[:-1] if not each.endswith(b"/")]


def working_files(repository: Repository, names: Iterable[bytes]) -> Listing:
    """What is there of names in the working tree, in order. A name behind a link is not there, as for git."""
    found: Listing = {}
    with Tree(os.fsencode(repository.top)) as tree:
        for name in sorted(names):
            status = tree.lstat(name)
            if status is not None and (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
                found[name] = Entry(status.st_mode, status.st_size, status.st_mtime_ns)
    return found


class Blob(NamedTuple):
    """A file or link of a commit."""

    mode: int
    oid: str


def committed(repository: Repository, commit: str) -> dict[bytes, Blob]:
    """The files of a commit. Raises `errors.NoRepository` for one with submodules."""
    found: dict[bytes, Blob] = {}
    for record in _records(repository.git.ask("ls-tree", "-r", "-z", "--full-tree", commit)):
        words, _, name = record.partition(b"\t")
        mode, _, oid = words.split(b" ")
        _judge(repository, name, int(mode, 8))
        found[name] = Blob(int(mode, 8), oid.decode())
    return found


def staged(repository: Repository, commit: str) -> set[bytes]:
    """The names of which the index has something else than a commit."""
    return set(
        repository.git.ask("diff-index", "--cached", "--name-only", "--no-renames", "-z", commit).split(b"\0")[:-1]
    )


def _records(said: bytes) -> Iterator[bytes]:
    yield from said.split(b"\0")[:-1]
