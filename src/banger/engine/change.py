"""What a change is made of.

A change (create a machine, pull an image) is a list of tasks, done in order. What makes a change survive any death:

- The change itself, its ``spec`` (plain data, everything decided beforehand: ids, names, sizes) and each task's state
  are committed to the store *before* the task acts. A task's resource is therefore on record before it exists.
- ``do`` and ``undo`` are idempotent: a task whose record says ``doing`` may have done nothing, a part, or everything.
- ``undo`` runs to its end whatever fails on the way; failures are joined and logged, and the change ends ``failed``.

A task's life::

    planned -> doing -> done            forward
               doing -> undoing -> undone
               done  -> undoing -> undone   backward, in reverse order

At start the daemon rebuilds the tasks of every change that had not ended from its kind and spec, then goes back
(`Recovery.UNDO`) or on (`Recovery.RESUME`). Cancelling is going back.
"""

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from banger.api.operation import Progress

Spec = Mapping[str, object]
"""Plain JSON data: all that is needed to build the tasks of a change again."""


class Recovery(enum.StrEnum):
    """Which way a change goes whose daemon died."""

    UNDO = "undo"
    RESUME = "resume"


class Resource(Protocol):
    """What a task makes, in the words of its record: enough to find and remove it without the task."""

    @property
    def kind(self) -> str:
        """``file``, ``directory``, ``process``, ``row``, ``socket`` ..."""
        ...

    @property
    def identity(self) -> str:
        """The path, the pid and start time, the key."""
        ...


class Report(Protocol):
    """What a running task can say to whoever watches its change."""

    operation: str
    """The change's id, for logs."""

    def stage(self, text: str) -> None:
        """The current step in words, e.g. ``downloading layer 2 of 5``."""
        ...

    def progress(self, progress: Progress | None) -> None:
        """How far the current step is."""
        ...

    def notice(self, text: str) -> None:
        """Something that the user should know in passing."""
        ...

    def result(self, **values: int | str) -> None:
        """What the change came to, in the words of its kind; who asked for it can read it in `Operation.result`."""
        ...

    def record(self, **facts: object) -> None:
        """Commit facts about the task's resource that are known only now (a pid). They reach `Task.recorded`."""
        ...


class Task(Protocol):
    """One step. Subclasses are small; their constructor takes what the spec says and must not act."""

    name: str
    """Unique in its change; also the name of its phase: ``overlay``, ``monitor``."""

    resource: Resource | None
    """What it makes, or None for a step that leaves nothing behind."""

    recorded: Mapping[str, object]
    """What earlier runs of this very task committed with `Report.record`; the engine sets it before do and undo."""

    async def do(self, report: Report) -> None:
        """Act. May be cancelled at any await; whatever was made by then is undone by `undo`."""
        ...

    async def undo(self, report: Report) -> None:
        """Remove what `do` made or may have made. Never cancelled."""
        ...


class Kind:
    """A kind of change, registered once when the daemon is wired.

    ``plan`` builds the tasks from the spec; it must not act, and must give the same tasks for the same spec.
    """

    def __init__(
        self,
        name: str,
        plan: Callable[[Spec], Sequence[Task]],
        *,
        recovery: Recovery = Recovery.UNDO,
        cancellable: bool = True,
    ) -> None:
        self.name = name
        self.plan = plan
        self.recovery = recovery
        self.cancellable = cancellable
