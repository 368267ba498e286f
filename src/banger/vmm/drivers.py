"""The drivers by name. A machine's record says which one runs it; a new machine gets the best that works here."""

import asyncio
import os
from typing import Protocol

from banger import errors
from banger.privileged.runner import Privileged
from banger.vmm.driver import Driver

VARIABLE = "BANGER_DRIVER"
"""Chooses the driver of new machines; the fake one can be had in no other way."""

AUTO = "auto"


class Driven(Protocol):
    """What a driver has made, and says so: a handle, a machine's record."""

    @property
    def driver(self) -> str: ...


class Drivers:
    """The drivers of one daemon, each made when it is first asked for. ``meant`` is told of where none works."""

    def __init__(
        self, probe_cache: str, wanted: str = AUTO, privileged: Privileged | None = None, meant: str = "qemu"
    ) -> None:
        self._probe_cache = probe_cache
        self._meant = meant
        self._wanted = os.environ.get(VARIABLE) or wanted
        self.privileged = privileged
        """Who does what needs root, for drivers that need it; None where nobody does."""
        self._known: dict[str, Driver] = {}
        self._chosen: Driver | None = None
        self._choosing = asyncio.Lock()

    def use(self, driver: Driver) -> None:
        """Take this object for its name, and for new machines."""
        self._known[driver.name] = driver
        self._chosen = driver

    def of(self, made: Driven) -> Driver:
        """The driver that runs it. Raises `errors.UsageError` when there is none of that name here."""
        return self.named(made.driver)

    def named(self, name: str) -> Driver:
        """Raises `errors.UsageError`."""
        if name not in self._known:
            self._known[name] = by_name(name, self._probe_cache, self.privileged)
        return self._known[name]

    async def choose(self) -> Driver:
        """The driver of new machines: as asked for; for ``auto`` Firecracker where it runs guests, else QEMU.

        Takes as long as a probe does. Firecracker is looked at again until it works, since it may have been installed
        in between. Raises `errors.UsageError`.
        """
        async with self._choosing:
            if self._chosen is None:
                name = self._wanted
                if name == AUTO and self.privileged is None:
                    name = "qemu"
                elif name == AUTO:
                    name = "firecracker"
                    if not await self._usable(name):
                        return self.named("qemu" if await self._usable("qemu") else self._meant)
                self._chosen = self.named(name)
            return self._chosen

    async def _usable(self, name: str) -> bool:
        return (await self.named(name).availability()).usable


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
