"""The part of a repository's history that travels: the commit and what it came from, `DEPTH` steps back, as one pack.

git makes the pack in a directory of ours, which stands before the repository's own objects, so that nothing is written
there. The pack's files have no name any more when this returns: whatever ends this process leaves none of them.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from typing import IO, NamedTuple

from banger import errors
from banger.workspace.git import PACK_SECONDS
from banger.workspace.repository import Repository

DEPTH = 10
_WINDOW = 256


class Window(NamedTuple):
    """Commits that are told, and those of them whose parents are not."""

    commits: frozenset[str]
    shallow: frozenset[str]


class Pack(NamedTuple):
    """Open files: objects, and where each of them is. ``name`` is that of the pack."""

    name: str
    objects: IO[bytes]
    places: IO[bytes]


def window(repository: Repository, commit: str) -> Window:
    """What travels of a commit's history. Of a partial clone that is the commit alone, the one sure to be whole."""
    depth = 1 if repository.partial else DEPTH
    parents = _parents(repository, f"--max-count={_WINDOW}", commit)
    reached, edge = {commit}, {commit}
    for _ in range(depth - 1):
        unknown = edge - parents.keys()
        if unknown:
            parents |= _parents(repository, "--no-walk=unsorted", *sorted(unknown))
        edge = {parent for each in edge for parent in parents[each]} - reached
        reached |= edge
    unknown = edge - parents.keys()
    if unknown:
        parents |= _parents(repository, "--no-walk=unsorted", *sorted(unknown))
    cut = {each for each in edge if set(parents[each]) - reached}
    return Window(frozenset(reached), frozenset(cut | (reached & repository.shallow)))


def _parents(repository: Repository, *words: str) -> dict[str, list[str]]:
    said = repository.git.ask("rev-list", "--parents", *words, "--").decode("ascii")
    return {first: rest for first, *rest in map(str.split, said.splitlines())}


def joined(old: Window, new: Window) -> frozenset[str]:
    """What is shallow where both are there: of an edge of one the other may have the parents."""
    whole = (old.commits - old.shallow) | (new.commits - new.shallow)
    return (old.shallow | new.shallow) - whole


@contextlib.contextmanager
def packed(repository: Repository, room: str, commit: str, new: Window, known: str | None = None) -> Iterator[Pack]:
    """A pack of what ``new`` has and the commit ``known`` has not. ``room`` is a directory of ours for the work.

    Raises `errors.NoRepository` where objects are missing, `errors.DiskFull`.
    """
    wanted = [*(f"--shallow {each}" for each in sorted(new.shallow)), commit]
    wanted += ["--not", known] if known is not None else []
    with _work(room) as directory:
        objects = os.path.join(directory, "objects")
        os.makedirs(os.path.join(objects, "pack"))
        said = repository.git.ask(
            "--shallow-file", "", "-c", "pack.window=0", "-c", "pack.writeReverseIndex=false",
            "pack-objects", "--revs", "--quiet", "--shallow", os.path.join(objects, "pack", "pack"),
            input="".join(f"{each}\n" for each in wanted).encode(),
            env={"GIT_OBJECT_DIRECTORY": objects, "GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(repository.objects)},
            timeout=PACK_SECONDS, mortal=True,
        )  # fmt: skip
        names = said.decode("ascii").split()
        if len(names) != 1:
            raise errors.NoRepository(path=repository.top, reason="git packed its history in more than one file")
        base = os.path.join(objects, "pack", f"pack-{names[0]}")
        with contextlib.ExitStack() as stack:
            pack = stack.enter_context(open(f"{base}.pack", "rb"))
            index = stack.enter_context(open(f"{base}.idx", "rb"))
            opened = stack.pop_all()
    with opened:
        yield Pack(f"pack-{names[0]}", pack, index)


def _quoted(path: str) -> str:
    """As git wants a directory whose name may have colons in it."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


@contextlib.contextmanager
def _work(room: str) -> Iterator[str]:
    """A directory of our own below ``room``; those that a killed process has left there are removed."""
    os.makedirs(room, mode=0o700, exist_ok=True)
    for name in os.listdir(room):
        _sweep(os.path.join(room, name))
    directory = os.path.join(room, os.urandom(8).hex())
    lock = os.open(f"{directory}.lock", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.mkdir(directory, 0o700)
        yield directory
    except OSError as fault:
        raise errors.from_os(fault, room) from fault
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{directory}.lock")
        os.close(lock)


def _sweep(path: str) -> None:
    """Remove a lock that nobody holds, and its directory before it."""
    if not path.endswith(".lock"):
        return
    with contextlib.suppress(OSError), open(path, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path.removesuffix(".lock"), ignore_errors=True)
        os.unlink(path)
