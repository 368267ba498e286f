"""The drivers by name. A machine's record says which one runs it; a new machine gets `default`."""

import os
from collections.abc import Callable
from typing import Protocol

from banger import errors
from banger.vmm.driver import Driver

VARIABLE = "BANGER_DRIVER"
"""Chooses the driver of new machines; the fake one can be had in no other way."""


def default() -> str:
    return os.environ.get(VARIABLE) or "qemu"


class Driven(Protocol):
    """What a driver has made, and says so: a handle, a machine's record."""

    @property
    def driver(self) -> str: ...


class Drivers:
    """The drivers of one daemon. New machines get ``chosen``; every other is made by ``make`` when it is asked for."""

    def __init__(self, chosen: Driver, make: Callable[[str], Driver]) -> None:
        self.chosen = chosen
        self._make = make
        self._known = {chosen.name: chosen}

    def of(self, made: Driven) -> Driver:
        """The driver that runs it. Raises `errors.UsageError` when there is none of that name."""
        if made.driver not in self._known:
            self._known[made.driver] = self._make(made.driver)
        return self._known[made.driver]


def by_name(name: str, probe_cache: str) -> Driver:
    """The driver object for a name. Raises `errors.UsageError`."""
    if name == "qemu":
        from banger.vmm.qemu.driver import QemuDriver

        return QemuDriver(probe_cache)
    if name == "fake":
        from banger.vmm.fake.driver import FakeDriver

        return FakeDriver()
    raise errors.UsageError(detail=f"there is no driver named {name!r} (qemu, fake)")
