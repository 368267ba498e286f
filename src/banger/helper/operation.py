"""A privileged operation: a value that can be checked, told, done and undone.

Who asks is the owner's daemon, or whoever has taken it over. So an operation names what it works on by closed grammars
(`grammar`) and by paths below one root (`walk`); it never carries a command line, a device, a process or an interface
that banger did not make. What is decided by the installation (bridge, addresses, directories, user ids) is no argument
at all: it comes from the `Host`.

Invariants of every operation:

- `validate` looks and does nothing. It raises `Refused`, also for what has the right form and belongs to somebody else.
- `execute` holds what `validate` has checked (by descriptor, by identity), so that nothing can be swapped in between.
- `execute` and `undo` are idempotent; each may come first, twice, or after the other was cut short by a kill -9.
- `undo` frees everything that `execute` has made or may have made, runs to its end, and joins its errors. Nothing has
  judged its arguments before it (what `validate` looks at may be gone): it refuses by itself what it may not touch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from .host import Host


class Refused(Exception):
    """The caller asked for what it may not have. The words are for the log and for the caller."""


class Failed(Exception):
    """The host could not do it. ``busy`` is set where the same request may succeed later."""

    def __init__(self, reason: str, *, busy: bool = False) -> None:
        super().__init__(reason)
        self.busy = busy


@dataclass(frozen=True)
class Outcome:
    """What became of an operation: plain JSON values, and descriptors that the caller gets (`os.close` is its duty)."""

    values: Mapping[str, object] = field(default_factory=dict)
    descriptors: Sequence[int] = ()


@dataclass(frozen=True, kw_only=True)
class Operation:
    """Base of all. Fields are str, int, bool, bytes, None, tuples of those, and dataclasses of the same kind."""

    NAME: ClassVar[str]
    """``noun.verb``; stable: requests, logs and the documentation use it."""
    GATE: ClassVar[str]
    """What is refused, in one sentence for docs/explanation/privileges.md."""
    DESCRIPTORS: ClassVar[tuple[str, ...]] = ()
    """What the descriptors are that the caller sends along, in order."""

    def validate(self, host: Host) -> None:
        """Raises `Refused`."""

    def turn(self) -> str:
        """Operations of the same turn are never performed at the same time; empty: it waits for nobody.

        By default that is the noun of its name, so all operations of one kind of resource. Where each machine has a
        resource of its own, a turn with the machine's id lets the others go on. It is asked of arguments that nobody
        has judged yet.
        """
        return self.NAME.partition(".")[0]

    def describe(self) -> str:
        """One line for the log, safe to print, without contents of files; also of arguments that nobody has judged."""
        raise NotImplementedError

    def execute(self, host: Host, descriptors: Sequence[int] = ()) -> Outcome:
        """Do it. Raises `Refused`, `Failed`. ``descriptors`` stay the caller's to close."""
        raise NotImplementedError

    def undo(self, host: Host) -> None:
        """Take it back. Raises `Refused`, `Failed`. What is only looked at or ended has nothing to take back."""
