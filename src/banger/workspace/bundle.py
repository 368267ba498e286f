"""An import as one tar stream: what is removed, the files, and where HEAD has moved the repository's own state.

Names in the stream begin with the directory's own. HEAD comes last: a repository is none before it has one. Of the
state, the names in `STATE` and the branch are part of the listing, so that what the guest has made of them meanwhile is
noticed like an edit.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO

from banger import errors
from banger.text import printable
from banger.workspace import guest_git, history, snapshot, state, tar
from banger.workspace.listing import Entry, Listing
from banger.workspace.plan import Plan
from banger.workspace.snapshot import Snapshot

LISTING = b"banger-listing"
PIECE = 256 << 10

HEAD, INDEX, CONFIG, SHALLOW = b".git/HEAD", b".git/index", b".git/config", b".git/shallow"
STATE = (HEAD, INDEX, CONFIG)
_GIT = b".git/"

Stage = Callable[[str, int], object]
"""Is told what comes next in a stream, and about how many bytes of it that will be."""


@dataclass(frozen=True)
class Moved:
    """The repository's state where the guest does not have it yet: whole files, by their names."""

    files: dict[bytes, bytes] = field(default_factory=dict)
    since: str | None = None
    """The commit whose history the guest has."""
    shallow: bytes = b""


def branch_file(branch: str) -> bytes:
    return _GIT + b"refs/heads/" + branch.encode()


def moved(source: Snapshot, files: Listing, since: str | None, first: bool) -> Moved:
    """What brings HEAD to the snapshot's commit. ``first``: there is no repository yet."""
    found = {HEAD: state.head(source.branch, source.commit)}
    if first:
        found[CONFIG] = state.configuration(source.repository)
    if source.commit is None:
        return Moved(found)
    found[INDEX] = source.index(files)
    if source.branch is not None:
        found[branch_file(source.branch)] = f"{source.commit}\n".encode()
    new = history.window(source.repository, source.commit)
    cut = history.joined(history.window(source.repository, since), new) if since else new.shallow
    return Moved(found, since, "".join(f"{each}\n" for each in sorted(cut)).encode())


def entries(moved: Moved) -> Listing:
    """The state's part of the listing."""
    now = time.time_ns()
    return {name: Entry(0o100644, len(content), now) for name, content in moved.files.items()}


def stream(
    source: Snapshot,
    plan: Plan,
    listing: bytes,
    top: bytes,
    room: str,
    files: Listing,
    moved: Moved | None,
    stage: Stage = lambda what, size: None,
) -> Iterator[bytes]:
    """The archive in pieces of about `PIECE`. ``files`` has an entry for every name of the plan's.

    Raises `errors.RepositoryChanged`, `errors.NoRepository`.
    """
    held = _Pieces()
    yield from held.put(tar.header(LISTING, 0o644, len(listing), 0), listing, bytes(-len(listing) % tar.BLOCK))
    for name in plan.remove:
        yield from held.put(tar.header(top + b"/" + name, 0, 0, 0, tar.REMOVED))
    yield from held.put(tar.header(top, 0o755, 0, int(time.time()), b"5"))
    plain = [name for name in plan.send if moved is None or name not in moved.files]
    stage("files", sum(tar.BLOCK + files[name].size for name in plain))
    for name, content in snapshot.contents(source, plain):
        yield from _entry(held, top + b"/" + name, files[name], content)
    if moved is not None:
        yield from _state(held, source, moved, top + b"/", room, files, stage)
    yield from held.put(tar.END)
    yield from held.rest()


def _entry(held: "_Pieces", name: bytes, entry: Entry, content: Iterator[bytes]) -> Iterator[bytes]:
    """A file has the size that is on the listing, whatever has become of it: cut, or it is said to have changed."""
    seconds = entry.mtime_ns // 1_000_000_000
    if entry.mode & 0o170000 == 0o120000:
        target = b"".join(content)
        yield from held.put(tar.header(name, 0o777, 0, seconds, tar.LINK, target))
        return
    yield from held.put(tar.header(name, entry.mode & 0o777, entry.size, seconds))
    left = entry.size
    for data in content:
        yield from held.put(data[:left])
        left -= min(left, len(data))
        if not left:
            break
    if left:
        raise errors.RepositoryChanged(path=printable(name), name="VM")
    yield from held.put(bytes(-entry.size % tar.BLOCK))


def _state(
    held: "_Pieces", source: Snapshot, moved: Moved, top: bytes, room: str, files: Listing, stage: Stage
) -> Iterator[bytes]:
    now = int(time.time())
    for directory in (b".git/objects/pack", b".git/refs/heads"):
        yield from held.put(tar.header(top + directory, 0o755, 0, now, b"5"))
    if source.commit is not None:
        new = history.window(source.repository, source.commit)
        with history.packed(source.repository, room, source.commit, new, moved.since) as pack:
            both = ((b".pack", pack.objects), (b".idx", pack.places))
            sizes = [os.fstat(file.fileno()).st_size for _, file in both]
            stage("history", sum(sizes))
            for (suffix, file), size in zip(both, sizes, strict=True):
                name = top + b".git/objects/pack/" + pack.name.encode() + suffix
                yield from held.put(tar.header(name, 0o444, size, now))
                yield from _copy(held, file, size)
        if moved.shallow:
            yield from held.put(tar.file(top + SHALLOW, moved.shallow, now))
    for name in sorted(moved.files, key=lambda each: (each == HEAD, each)):
        yield from held.put(tar.file(top + name, moved.files[name], files[name].mtime_ns // 1_000_000_000))
        if name == INDEX:
            yield from held.put(tar.header(top + guest_git.PRISTINE, 0, 0, 0, tar.HARD_LINK, top + INDEX))
            yield from held.put(tar.file(top + guest_git.PRISTINE_OF, f"{source.commit}\n".encode(), now))


def _copy(held: "_Pieces", file: IO[bytes], size: int) -> Iterator[bytes]:
    while data := file.read(PIECE):
        yield from held.put(data)
    yield from held.put(bytes(-size % tar.BLOCK))


class _Pieces:
    """Joins small pieces."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def put(self, *parts: bytes) -> Iterator[bytes]:
        self._parts.extend(parts)
        self._size += sum(map(len, parts))
        if self._size >= PIECE:
            yield from self.rest()

    def rest(self) -> Iterator[bytes]:
        if self._parts:
            yield b"".join(self._parts)
        self._parts.clear()
        self._size = 0
