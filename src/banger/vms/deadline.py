"""Moments in the future that survive what clocks do.

The wall clock can be set, and a boot's own clock ends with it. A deadline therefore has both: within the boot that it
was made in it is judged by that boot's clock (CLOCK_BOOTTIME: monotonic, and it counts the time that a host sleeps),
after another boot by the wall clock.
"""

import time
from typing import Protocol

import msgspec

_BOOT_ID = "/proc/sys/kernel/random/boot_id"

LONGEST = 10 * 365 * 86400.0
"""Seconds of the longest time that can be asked for; everything beyond is a slip of the pen."""


class Clock(Protocol):
    """What the time is."""

    def boot(self) -> str:
        """Which boot of this host it is."""
        ...

    def since_boot(self) -> float: ...

    def wall(self) -> float: ...


class HostClock:
    """This host's."""

    def boot(self) -> str:
        with open(_BOOT_ID, encoding="ascii") as file:
            return file.read().strip()

    def since_boot(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        return time.time()


HOST = HostClock()


class Deadline(msgspec.Struct, frozen=True):
    """A moment, as it is on record."""

    boot: str
    since_boot: float
    wall: float

    @classmethod
    def after(cls, seconds: float, clock: Clock = HOST) -> "Deadline":
        """The moment ``seconds`` from now."""
        return cls(clock.boot(), clock.since_boot() + seconds, clock.wall() + seconds)

    def left(self, clock: Clock = HOST) -> float:
        """Seconds until then; not above 0 once it has passed."""
        if clock.boot() == self.boot:
            return self.since_boot - clock.since_boot()
        return self.wall - clock.wall()

    def shown(self, clock: Clock = HOST) -> float:
        """The moment on the wall clock of now: as on record, unless that clock was set meanwhile."""
        expected = clock.wall() + self.left(clock)
        return self.wall if abs(expected - self.wall) < 1 else expected
