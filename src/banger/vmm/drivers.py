"""The drivers by name. A machine's record says which one runs it; a new machine gets the one that `choose` found."""

import os
from collections.abc import Callable
from typing import NamedTuple, Protocol

from banger import errors
from banger.privileged.runner import Privileged
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


class Choice(NamedTuple):
    """The driver of new machines, and why it is this one, in words for the doctor."""

    driver: Driver
    reason: str


async def choose(asked: str, probe_cache: str, privileged: Privileged | None) -> Choice:
    """The driver that was asked for; for ``auto`` Firecracker where it runs guests, else QEMU.

    Raises `errors.UsageError`. Takes as long as a probe does.
    """
    asked = os.environ.get(VARIABLE) or asked
    if asked != "auto":
        return Choice(by_name(asked, probe_cache, privileged), "asked for by name")
    qemu = by_name("qemu", probe_cache)
    if privileged is None:
        return Choice(qemu, "Firecracker needs the root helper, which is not installed")
    firecracker = by_name("firecracker", probe_cache, privileged)
    found = await firecracker.availability()
    return Choice(firecracker if found.usable else qemu, found.reason)


def by_name(name: str, probe_cache: str, privileged: Privileged | None = None) -> Driver:
    """The driver object for a name. Raises `errors.UsageError`."""
    if name == "firecracker":
        if privileged is None:
            raise errors.UsageError(detail="Firecracker needs the root helper: 'sudo banger system install'")
        from banger.vmm.firecracker.driver import FirecrackerDriver

        return FirecrackerDriver(privileged, probe_cache)
    if name == "qemu":
        from banger.vmm.qemu.driver import QemuDriver

        return QemuDriver(probe_cache)
    if name == "fake":
        from banger.vmm.fake.driver import FakeDriver

        return FakeDriver()
    raise errors.UsageError(detail=f"there is no driver named {name!r} (firecracker, qemu, fake)")
