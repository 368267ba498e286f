"""The drivers by name. A machine's record says which one runs it; a new machine gets `default`."""

import os

from banger import errors
from banger.vmm.driver import Driver

VARIABLE = "BANGER_DRIVER"
"""Chooses the driver of new machines; the fake one can be had in no other way."""


def default() -> str:
    return os.environ.get(VARIABLE) or "qemu"


def by_name(name: str, probe_cache: str) -> Driver:
    """The driver object for a name. Raises `errors.UsageError`."""
    if name == "qemu":
        from banger.vmm.qemu.driver import QemuDriver

        return QemuDriver(probe_cache)
    if name == "fake":
        from banger.vmm.fake.driver import FakeDriver

        return FakeDriver()
    raise errors.UsageError(detail=f"there is no driver named {name!r} (qemu, fake)")
