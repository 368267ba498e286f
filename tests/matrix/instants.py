"""The moments of a change at which something can die: four to each task on the way there, four on the way back.

    before   the task is not on record as begun
    doing    it is on record as begun (``doing``, ``undoing``), and has not acted
    acted    it has acted, and is not on record as ended
    done     it is on record as ended (``done``, ``undone``)

A task that starts a process has a fifth on the way there: ``made``, where the process is there and no record names it.

One commit ends a task and begins the next, so ``done`` of one and ``doing`` of the next are the same instant, and so
are ``acted`` and ``before``. `distinct` has each instant once; `boundaries` counts them all.
"""

from collections.abc import Sequence
from typing import NamedTuple

WAYS = ("do", "undo")
WHEN = ("before", "doing", "acted", "done")


class Planned(NamedTuple):
    """A task as the engine tells of it."""

    name: str
    process: bool = False
    """What it makes is a process."""


class Instant(NamedTuple):
    """A moment in the life of one task. ``way`` is ``do`` or ``undo``."""

    way: str
    task: str
    when: str

    def __str__(self) -> str:
        return f"{self.way} {self.task}: {self.when}"


def boundaries(tasks: Sequence[Planned]) -> list[Instant]:
    """All that have a name."""
    found = [Instant(way, task.name, when) for way in WAYS for task in tasks for when in WHEN]
    return found + [Instant("do", task.name, "made") for task in tasks if task.process]


def distinct(tasks: Sequence[Planned]) -> list[Instant]:
    """Each moment once, in the order of time: all of the way there, then all of the way back from its end."""
    found = []
    for way, order in (("do", list(tasks)), ("undo", list(reversed(tasks)))):
        found.append(Instant(way, order[0].name, "before"))
        for task in order:
            inside = ["made"] if task.process and way == "do" else []
            found += [Instant(way, task.name, when) for when in ("doing", *inside, "acted")]
        found.append(Instant(way, order[-1].name, "done"))
    return found
