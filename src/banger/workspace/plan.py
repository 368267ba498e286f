"""What an import changes in a machine's directory, and what it must not.

Three sides: what the last import brought (the base), what this host has now, what the machine has. A name that this
host has not changed is left alone, whatever the machine has made of it. One that it has changed is changed in the
machine, if the machine still has what it was given, or has the very same by now; anything else is a conflict.
"""

import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from banger.workspace.listing import Entry, Listing


class State(Protocol):
    """What a name is in the machine."""

    @property
    def mode(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def mtime_ns(self) -> int: ...


Ask = Callable[[list[bytes]], "list[State | None]"]
Alike = Callable[[bytes, State], bool]


@dataclass(frozen=True)
class Plan:
    send: list[bytes]
    """In order."""
    remove: list[bytes]
    """Files, and then the directories that they leave empty, innermost first."""
    conflicts: list[bytes]
    """Changed on both sides; `send` and `remove` are as if they were not."""
    stuck: list[bytes]
    """Directories of the machine's where a file is to be: nothing overwrites them."""


def fresh(new: Listing) -> Plan:
    """For a directory that is not there yet."""
    return Plan(sorted(new), [], [], [])


def make(new: Listing, bases: list[Listing], broken: bool, ask: Ask, alike: Alike) -> Plan:
    """For a directory with what is left of earlier imports.

    ``bases`` is what the last import brought, and where it broke off (``broken``) also what it was to bring and to
    remove; nothing for a directory of the machine's own. ``ask`` tells what names are in the machine; ``alike`` whether
    a file there may be overwritten, because nothing of it is lost.
    """
    old: Listing = {}
    for base in bases:
        old |= base
    touched = new.keys() | old.keys()
    if not broken and bases:
        touched = {name for name in touched if old.get(name) != new.get(name)}
    ways = parents(touched)
    names = sorted(touched | ways)
    found = dict(zip(names, ask(names), strict=True)) if names else {}
    if broken:
        touched = {name for name in touched if not _is_there(name, found[name], new, bases)}
    conflicts, stuck = [], []
    for name in names:
        state = found[name]
        if name in touched and not _expected(name, state, new, bases, broken):
            if name in new and state is not None and stat.S_ISDIR(state.mode):
                if name not in parents(old):
                    stuck.append(name)
            elif state is None or not alike(name, state):
                conflicts.append(name)
        elif name in ways and name not in touched and state is not None and not stat.S_ISDIR(state.mode):
            conflicts.append(name)
    blocked = [name for name in conflicts if name in ways and name not in touched]
    send = {name for name in touched if name in new}
    send |= {name for name in new if any(name.startswith(each + b"/") for each in blocked)}
    gone = [name for name in touched if name not in new and found[name] is not None]
    emptied = sorted(parents(gone) - parents(new), reverse=True)
    return Plan(sorted(send), [*blocked, *sorted(gone), *emptied], conflicts, stuck)


def parents(names: Iterable[bytes]) -> set[bytes]:
    """All directories that lead to names."""
    found: set[bytes] = set()
    for name in names:
        at = name.rfind(b"/")
        while at > 0 and (directory := name[:at]) not in found:
            found.add(directory)
            at = name.rfind(b"/", 0, at)
    return found


def _expected(name: bytes, state: State | None, new: Listing, bases: list[Listing], broken: bool) -> bool:
    """Whether the machine has what it was given, or nothing that could be lost."""
    given = [base.get(name) for base in bases] or [None]
    if state is None:
        return broken or name not in new or None in given
    if broken and _half(state):
        return True
    return any(entry is not None and arrived(state, entry) for entry in given)


def _is_there(name: bytes, state: State | None, new: Listing, bases: list[Listing]) -> bool:
    """After an import that broke off: whether a name that has not changed here since got there, whatever the machine
    has made of it since."""
    given = [base[name] for base in bases if name in base]
    unchanged = name in new and bool(given) and all(each == new[name] for each in given)
    return unchanged and state is not None and not _half(state)


def _half(state: State) -> bool:
    """Whether it may be a file in the middle of which an import broke off."""
    return stat.S_ISREG(state.mode) and (state.size == 0 or stat.S_IMODE(state.mode) == 0o600)


def arrived(state: State, entry: Entry) -> bool:
    """Whether a name in a machine is as an import makes it: times are whole seconds, a link's mode says nothing."""
    if not _same_kind(state, entry) or state.size != entry.size:
        return False
    return state.mtime_ns == max(entry.mtime_ns // 1_000_000_000, 0) * 1_000_000_000 and (
        stat.S_ISLNK(entry.mode) or state.mode & 0o777 == entry.mode & 0o777
    )


def _same_kind(state: State, entry: Entry) -> bool:
    return stat.S_IFMT(state.mode) == stat.S_IFMT(entry.mode)
