"""An offline edit of ext4, as a plan: what to look at, what to say to debugfs, and what must have become of it.

An edit looks first (what is at each path, which parents are missing), then acts in a single process: removals,
directories with their parents, files, links, owners and modes, each command expected to say nothing but what it says
on success, and last a look at every path that was touched. The result is verified against what was asked: type, mode,
owner, size. What debugfs gets wrong without a word is done by other means or refused:

* ``write`` over a name, ``mkdir`` of a directory, ``symlink`` to nothing: decided by the first look.
* A parent that is a symbolic link is taken for a file: each name is spelled through its directory's ``.``.
* A mode without type bits makes an inode of no type: modes are always sent with them, the root stays a directory.
* ``rm`` leaks the block of a file's extended attributes: replacing such a file is refused.
* ``write`` on a full file system leaves a file of the right size and none of its bytes: any complaint is an error.

After a refusal the file system is sound but may hold a part of the edit; after a death it may be anything.
"""

import os
import re
import stat as modes
from collections.abc import Callable, Iterator, Sequence

from .debugfs import PATH_LIMIT, Answer, Asked, Missing, Plan, Unspeakable, Unusable, quoted, spelled, words
from .guest_file import Directory, Edit, GuestFile, Owner, Remove
from .inodes import Inode, inode_of

_ALLOCATED = re.compile(rb"Allocated inode: \d+\n")
_FULL = b"Could not allocate"

Source = Callable[[int, bytes], str]
"""Puts the content of the edit with that number where debugfs can read it; the name that it has there."""


def carry_out(edits: Sequence[Edit], source: Source, when: int) -> Plan[None]:
    """Carry out ``edits``, in any order: a file replaces a file or link, missing parents are made (root's, 0755).

    All times that are left are ``when``. Raises `Unspeakable`, `Missing`, `Unusable`.
    """
    judge(edits)
    work = _Work(edits, source, when)
    yield from work.look()
    yield from work.act()


def judge(edits: Sequence[Edit]) -> None:
    """Refuse what no file system can be asked for. Raises `Unspeakable`."""
    seen = set()
    for each in edits:
        spelled(each.path)
        if each.path in seen:
            raise Unspeakable(f"{each.path} is given twice")
        if each.path == "/" and not isinstance(each, Owner | Directory):
            raise Unspeakable("the root of a file system can neither be replaced nor removed")
        seen.add(each.path)
        if isinstance(each, GuestFile) and each.target is not None:
            quoted(each.target)
            if len(each.target.encode()) > PATH_LIMIT:
                raise Unspeakable(f"the target of {each.path} is too long")


def fields(word: str, uid: int, gid: int, mode: int) -> list[str]:
    """Owner and mode of one inode, the type always with the permissions."""
    return [f"sif {word} uid {uid}", f"sif {word} gid {gid}", f"sif {word} mode 0{mode:o}"]


def _placed(path: str) -> str:
    """The path as a word. debugfs looks for a name's directory without following it when it is a link; through ``.``
    it must."""
    folder, _, name = path.rpartition("/")
    return quoted(f"{folder}/./{name}")


def _parents(path: str) -> list[str]:
    """The directories above a path, less the root, outermost first."""
    parts = path.split("/")[1:-1]
    return ["/" + "/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


class _Work:
    """One edit: what was found, and the commands that follow from it."""

    def __init__(self, edits: Sequence[Edit], source: Source, when: int) -> None:
        self._edits = edits
        self._source = source
        self._when = when
        self._there: dict[str, Inode | None] = {}
        self._missing: list[str] = []

    def look(self) -> Plan[None]:
        """Learn what is at each path, and which parents are missing."""
        made = {each.path for each in self._edits if isinstance(each, Directory)}
        above = dict.fromkeys(parent for each in self._edits if not isinstance(each, Remove | Owner)
                              for parent in _parents(each.path))  # fmt: skip
        asked = [f"stat {_placed(each.path)}" for each in self._edits]
        asked += [f"stat {quoted(parent + '/.')}" for parent in above]
        answers = yield Asked([[each] for each in asked])
        found = [inode_of(each) for each in answers]
        self._there = dict(zip((each.path for each in self._edits), found, strict=False))
        parents = zip(above, found[len(self._edits) :], strict=True)
        self._missing = [parent for parent, inode in parents if inode is None and parent not in made]
        for each in self._edits:
            _refuse(each, self._there[each.path])

    def act(self) -> Plan[None]:
        """Change the file system, and verify what became of it."""
        commands = [[f"set_current_time {self._when}"], *self._removals(), *self._directories(), *self._files()]
        changes = len(commands)
        looks = [[f"stat {_placed(each.path)}"] for each in self._edits]
        answers = yield Asked([*commands, *looks], write=True)
        for number, answer in enumerate(answers[:changes]):
            said = _ALLOCATED.sub(b"", answer.output).strip() if number else b""  # the first tells the time
            if answer.complaints or said:
                raise _failure(answer)
        found = [inode_of(each) for each in answers[changes:]]
        for edit, inode in zip(self._edits, found, strict=True):
            if not _as_asked(edit, inode):
                raise Unusable(f"{edit.path} did not become what was asked for")

    def _removals(self) -> Iterator[list[str]]:
        for each in self._edits:
            there = self._there[each.path]
            if there is not None and isinstance(each, Remove | GuestFile):
                verb = "rmdir" if modes.S_ISDIR(there.mode) else "rm"
                yield [f"{verb} {_placed(each.path)}"]

    def _directories(self) -> Iterator[list[str]]:
        wanted = {each.path: each for each in self._edits if isinstance(each, Directory)}
        implied = {path: Directory(path) for path in self._missing}
        for path, each in sorted({**implied, **wanted}.items(), key=lambda item: item[0].split("/")):
            word = _placed(path)
            make = [] if self._there.get(path) is not None else [f"mkdir {word}"]
            yield [*make, *fields(word, each.uid, each.gid, modes.S_IFDIR | modes.S_IMODE(each.mode))]

    def _files(self) -> Iterator[list[str]]:
        for number, each in enumerate(self._edits):
            word = _placed(each.path)
            if isinstance(each, Owner):
                there = self._there[each.path]
                assert there is not None
                mode = there.mode if each.mode is None else modes.S_IFMT(there.mode) | modes.S_IMODE(each.mode)
                yield fields(word, each.uid, each.gid, mode)
            elif isinstance(each, GuestFile) and each.target is not None:
                make = f"symlink {word} {quoted(each.target)}"
                yield [make, *fields(word, each.uid, each.gid, modes.S_IFLNK | 0o777)]
            elif isinstance(each, GuestFile):
                source = self._source(number, each.content) if each.source is None else os.path.abspath(each.source)
                make = f"write {quoted(source)} {word}"
                yield [make, *fields(word, each.uid, each.gid, modes.S_IFREG | modes.S_IMODE(each.mode))]


def _refuse(edit: Edit, there: Inode | None) -> None:
    """What the file system as it is does not allow."""
    reason = None
    if isinstance(edit, Owner) and there is None:
        raise Missing(edit.path)
    if isinstance(edit, Directory) and there is not None and not modes.S_ISDIR(there.mode):
        reason = "it is there and no directory"
    elif isinstance(edit, GuestFile) and there is not None and modes.S_ISDIR(there.mode):
        reason = "it is a directory"
    elif isinstance(edit, GuestFile | Remove) and there is not None and there.attributes and there.links == 1:
        reason = "its extended attributes lie in a block that debugfs would not free"
    if reason is not None:
        raise Unusable(f"{edit.path}: {reason}")


def _failure(answer: Answer) -> Unusable:
    if any(_FULL in each for each in answer.complaints):
        return Unusable("there is no room left in the file system")
    return Unusable(words(answer.complaints or [answer.output]))


def _as_asked(edit: Edit, inode: Inode | None) -> bool:
    if isinstance(edit, Remove) or inode is None:
        return isinstance(edit, Remove) and inode is None
    if (inode.uid, inode.gid) != (edit.uid, edit.gid):
        return False
    if isinstance(edit, Owner):
        return edit.mode is None or modes.S_IMODE(inode.mode) == modes.S_IMODE(edit.mode)
    if isinstance(edit, Directory):
        return inode.mode == modes.S_IFDIR | modes.S_IMODE(edit.mode)
    if edit.target is not None:
        return modes.S_ISLNK(inode.mode) and inode.size == len(edit.target.encode())
    size = len(edit.content) if edit.source is None else os.path.getsize(edit.source)
    return (inode.mode, inode.size) == (modes.S_IFREG | modes.S_IMODE(edit.mode), size)
