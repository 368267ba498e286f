"""The facts of a judgement, read when it is due, and what was admitted and is still under way.

What is admitted is held in memory against everybody who comes later, for as long as its change lasts: two that ask at
once do not both get the last of anything. `Admission.admitted` judges, lets the caller begin the change, and holds; all
of it is one step of the event loop, so that nobody comes in between. Whether a change lasts is asked of the engine each
time, so nothing has to be given back and nothing can be forgotten. A daemon that starts has nothing under way that
takes more: what makes or starts a machine is undone.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence

from banger.admission.judgement import Facts, Limits, Machine, Wish, judge
from banger.config.settings import Config

_LARGEST = 1 << 62
_BLOCK = 512


class Admission:
    """Of one daemon. ``lasts`` tells whether a change of that subject is under way."""

    def __init__(self, state: str, settings: Config, lasts: Callable[[str], bool], root: str = "/") -> None:
        self.limits = Limits(
            machines=settings.machine_limit,
            memory=settings.memory_limit,
            overcommit=settings.memory_overcommit,
            reserve=settings.disk_reserve,
        )
        self._state = state
        self._lasts = lasts
        self._root = root
        self._machines: Callable[[], Sequence[Machine]] = list
        self._claims: dict[str, Wish] = {}

    def know(self, machines: Callable[[], Sequence[Machine]]) -> None:
        """``machines`` tells of all that are on record."""
        self._machines = machines

    @contextlib.contextmanager
    def admitted(self, wish: Wish | None) -> Iterator[list[str]]:
        """What the user should know in passing; the body begins the change, without awaiting anything.

        Raises as `judge`. A body that fails holds nothing; neither does a change that takes nothing.
        """
        if wish is None:
            yield []
            return
        yield judge(wish, self.facts(), self.limits)
        self._claims[wish.subject] = wish

    def facts(self) -> Facts:
        """What there is now."""
        size, free = disk(self._state)
        total, available = memory(self._root)
        claims = self._under_way()
        return Facts(
            self._state, size, free, total, available, self._machines(), claims, lambda claim: written(claim.place)
        )

    def _under_way(self) -> list[Wish]:
        self._claims = {subject: each for subject, each in self._claims.items() if self._lasts(subject)}
        return list(self._claims.values())


def disk(path: str) -> tuple[int, int]:
    """Size of the disk that holds a directory, and what its owner can still write there."""
    found = os.statvfs(path)
    return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize


def memory(root: str = "/") -> tuple[int | None, int | None]:
    """The host's memory, and how much of it is available; None for what /proc does not tell."""
    try:
        with open(os.path.join(root, "proc/meminfo"), "rb") as file:
            lines = file.read(1 << 16).splitlines()
    except OSError:
        return None, None
    found = {name: value for name, colon, value in (line.partition(b":") for line in lines) if colon}
    total, available = (_kibibytes(found.get(name, b"")) for name in (b"MemTotal", b"MemAvailable"))
    if total is None or available is None or available > total:
        available = None
    return total or None, available


def _kibibytes(value: bytes) -> int | None:
    digits = value.split()[:1]
    if not digits or not digits[0].isdigit() or len(digits[0]) > 18:
        return None
    return min(_LARGEST, int(digits[0]) << 10)


def written(place: str) -> int:
    """What there is already in the directory that a change writes to."""
    total = 0
    if place:
        with contextlib.suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_blocks * _BLOCK
    return total
