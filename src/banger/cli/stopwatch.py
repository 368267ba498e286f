"""Where the time of a verb went, from the moment that its process was started.

The phases follow one another without gaps, so they add up to the whole.
"""

import os
import time

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.sdk.change import Change


class Stopwatch:
    """Phases of this process, the first of which is its own start-up."""

    def __init__(self) -> None:
        self._phases: list[tuple[str, float]] = []
        self._last = time.monotonic() - _age()
        self.mark("client start")

    def mark(self, name: str) -> None:
        """End the current phase, and call it ``name``."""
        now = time.monotonic()
        self._phases.append((name, now - self._last))
        self._last = now

    def mark_change(self, change: "Change") -> None:
        """End the current phase as the phases of a change, and what was waited besides."""
        now = time.monotonic()
        elapsed = now - self._last
        inner = [(phase["name"], max(0.0, phase["seconds"])) for phase in change.phases]
        told = sum(seconds for _, seconds in inner)
        scale = min(1.0, elapsed / told) if told else 1.0  # the daemon's clock is not ours to trust
        self._phases += [(name, seconds * scale) for name, seconds in inner]
        self._phases.append(("daemon", max(0.0, elapsed - told * scale)))
        self._last = now

    def phases(self) -> list[dict[str, object]]:
        """As the documents show them, in microseconds' precision."""
        return [{"name": name, "seconds": round(seconds, 6)} for name, seconds in self._phases]

    def seconds(self) -> float:
        return round(sum(seconds for _, seconds in self._phases), 6)


def _age() -> float:
    """How long ago this process was started, in seconds (proc(5): starttime, in clock ticks after boot)."""
    with open("/proc/self/stat", "rb") as stat:
        ticks = int(stat.read().rpartition(b")")[2].split()[19])
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))
