"""What one import is to make of a machine's directory: the files, and where HEAD is.

The files are those of the working tree, as they are now, edits included, where the commit is the one that is checked
out; of another commit (``--branch`` with ``--from``) they are the commit's own, unconverted.
"""

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from banger import errors, proc
from banger.text import printable
from banger.workspace import index, listing, repository
from banger.workspace.listing import Blob, Entry, Listing, Tracked
from banger.workspace.repository import Repository
from banger.workspace.tree import Tree

CHUNK = 256 << 10
_ASKED = 64
"""Blobs that git is asked for ahead of its answers: few enough that the questions fit into a pipe."""

Content = Callable[[list[bytes]], Iterator[tuple[bytes, Iterator[bytes]]]]


@dataclass(frozen=True)
class Snapshot:
    """Everything that is decided before a machine is spoken to."""

    repository: Repository
    commit: str | None
    branch: str | None
    start: str | None
    """The host's name for the commit, where the branch is the guest's alone."""
    untracked: bool
    """Whether untracked files are among the files."""
    left: int
    """How many untracked files are not."""
    files: Listing
    blobs: dict[bytes, Blob] | None
    """The files' content, where that is a commit's."""
    known: dict[bytes, Tracked | None]
    """What this host's index says."""

    def index(self, there: Listing) -> bytes:
        """The git index that the guest gets; ``there`` is what its files are."""
        if self.commit is None:
            return b""
        wanted = self.blobs or listing.committed(self.repository, self.commit)
        if self.blobs is not None:
            unchanged, skipped = {name: there[name] for name in wanted if name in there}, frozenset[bytes]()
        else:
            path = os.path.join(self.repository.top, repository.git_path(self.repository.git, "index"))
            unchanged = index.clean(wanted, self.known, there, index.written(path))
            left_out = (name for name, each in self.known.items() if each is not None and each.skipped)
            skipped = frozenset(name for name in left_out if name in wanted and name not in there)
        return index.build(wanted, unchanged, skipped, self.repository.format)

    def settle(self, base: Listing) -> Listing:
        """The files with the times that they have or get in the guest: of a commit's, those that it has stay."""
        if self.blobs is None:
            return self.files
        found = {}
        for name, entry in self.files.items():
            last = base.get(name)
            same = last is not None and (last.mode, last.size) == (entry.mode, entry.size)
            found[name] = last if last and same and _mark(last) == _mark(entry) else entry
        return found


def take(path: str, *, untracked: bool = False, branch: str | None = None, start: str | None = None) -> Snapshot:
    """What there is to import of the repository that ``path`` is in.

    Raises `errors.NoSuchPath`, `errors.NoRepository`, `errors.UsageError`, `errors.ToolMissing`.
    """
    if start is not None and branch is None:
        raise errors.UsageError(detail="--from says where --branch begins: use both")
    source = repository.find(path)
    commit, wanted = source.head, source.branch
    if branch is not None:
        repository.check_branch(source.git, branch)
        start = start or "HEAD"
        commit, wanted = repository.commit(source.git, start), branch
        if commit is None:
            raise repository.refused(path, f"it has no commit {printable(start)!r}")
    overlay = commit == source.head
    known = listing.tracked(source) if overlay else {}
    others = listing.untracked(source) if overlay else []
    blobs = None
    if overlay:
        files = listing.working_files(source, [*known, *(others if untracked else [])])
    else:
        assert commit is not None
        blobs, files = _of_commit(source, commit)
    return Snapshot(
        repository=source,
        commit=commit,
        branch=wanted,
        start=start if branch is not None else None,
        untracked=untracked,
        left=0 if untracked else len(others),
        files=files,
        blobs=blobs,
        known=known,
    )


def _of_commit(source: Repository, commit: str) -> tuple[dict[bytes, Blob], Listing]:
    blobs = listing.committed(source, commit)
    asked = "".join(f"{each.oid}\n" for each in blobs.values()).encode()
    said = source.git.ask("cat-file", "--batch-check=%(objectsize)", "--buffer", input=asked).split(b"\n")
    now, files = int(time.time()) - 1, {}  # before the index, or git would have to look at each again
    for (name, blob), size in zip(blobs.items(), said, strict=False):
        if not size.isdigit():
            raise errors.NoRepository(path=source.top, reason=f"it does not have all files of {commit[:12]}")
        mode = 0o120777 if blob.mode == 0o120000 else 0o100000 | (blob.mode & 0o777)
        files[name] = Entry(mode, int(size), now * 1_000_000_000 + int(blob.oid[:7], 16))
    return blobs, files


def _mark(entry: Entry) -> int:
    """The part of a commit's file's time that tells its content from another; see `_of_commit`."""
    return entry.mtime_ns % 1_000_000_000


def content(snapshot: Snapshot, name: bytes) -> bytes:
    """All of one. Raises as `contents`."""
    return b"".join(data for _, pieces in contents(snapshot, [name]) for data in pieces)


def contents(snapshot: Snapshot, names: list[bytes]) -> Iterator[tuple[bytes, Iterator[bytes]]]:
    """The bytes of files, and the targets of links, in the order of ``names``; each is to be read before the next.

    Raises `errors.RepositoryChanged` for what is not there any more.
    """
    if snapshot.blobs is not None:
        yield from _blobs(snapshot, names, snapshot.blobs)
        return
    with Tree(os.fsencode(snapshot.repository.top)) as tree:
        for name in names:
            entry = snapshot.files[name]
            if entry.mode & 0o170000 == 0o120000:
                yield name, iter([_target(tree, name)])
            else:
                yield name, _read(tree, name)


def _target(tree: Tree, name: bytes) -> bytes:
    try:
        return tree.readlink(name)
    except OSError:
        raise errors.RepositoryChanged(path=printable(name), name="VM") from None


def _read(tree: Tree, name: bytes) -> Iterator[bytes]:
    try:
        descriptor = tree.open(name)
    except OSError as fault:
        if isinstance(fault, PermissionError):
            raise errors.NoRepository(path=printable(name), reason="you may not read this file") from None
        raise errors.RepositoryChanged(path=printable(name), name="VM") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise errors.RepositoryChanged(path=printable(name), name="VM")
        while data := os.read(descriptor, CHUNK):
            yield data
            if len(data) < CHUNK:
                return
    finally:
        os.close(descriptor)


def _blobs(snapshot: Snapshot, names: list[bytes], blobs: dict[bytes, Blob]) -> Iterator[tuple[bytes, Iterator[bytes]]]:
    git = snapshot.repository.git
    with proc.answering(git.argv("cat-file", "--batch"), env=git.environment()) as (questions, answers):
        for at in range(0, len(names), _ASKED):
            some = names[at : at + _ASKED]
            questions.write("".join(f"{blobs[each].oid}\n" for each in some).encode())
            questions.flush()
            for name in some:
                head = answers.readline().split()
                if len(head) != 3:
                    raise errors.NoRepository(path=snapshot.repository.top, reason="git lost a file on the way")
                size = int(head[2])
                yield name, _exactly(answers.read, size)
                answers.read(1)


def _exactly(read: Callable[[int], bytes], size: int) -> Iterator[bytes]:
    while size:
        data = read(min(size, CHUNK))
        if not data:
            return
        size -= len(data)
        yield data
