"""Device-mapper devices: a machine's disk as one block device, whatever it is made of.

A machine has at most two, its root and its work disk, named by `grammar.mapper` and marked with uuids of ours. A device
of such a name with another uuid is somebody else's and is left alone.

What is inside belongs to a guest, so no program of the host's may read it by itself. `device_mapper` keeps udev from
managing the device, so that it has no name in /dev/mapper nor in /dev/disk but only the kernel's own (/dev/dm-N), and
`udev.rules` keeps udev from probing it. Nobody is waited for: it works the same without udev.
"""

import contextlib
import os
import time
from collections.abc import Sequence
from typing import NamedTuple

from . import device_mapper, grammar
from .operation import Failed, Refused

UUID_PREFIX, WORK_UUID_PREFIX = "banger-", "banger-work-"
_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds between looks at a device that somebody has open: udev may look at what is new."""
_PATIENCE = 10.0
"""Seconds until one that has to go, and that somebody has open, is an error."""


class Device(NamedTuple):
    """A device that is there. ``number`` is ``major:minor``; ``path`` is the kernel's own name for it."""

    machine: str
    name: str
    number: str
    path: str

    @property
    def rdev(self) -> int:
        major, _, minor = self.number.partition(":")
        return os.makedev(int(major), int(minor))


def find(machine: str, *, work: bool = False) -> Device | None:
    """A machine's device, finished or not. Raises `Refused` where somebody else's has its name, `Failed`."""
    name = grammar.mapper(machine, work=work)
    found = device_mapper.find(name)
    if found is None:
        return None
    if found.uuid != _uuid(machine, work):
        raise Refused(f"the device {name} is not banger's")
    minor = os.minor(found.rdev)
    return Device(machine, name, f"{os.major(found.rdev)}:{minor}", f"/dev/dm-{minor}")


def devices() -> list[Device]:
    """Every device of ours, finished or not, by the machine's id. Raises `Failed`."""
    found = []
    for name in device_mapper.names():
        for prefix, work in ((grammar.MAPPER_PREFIX, False), (grammar.WORK_PREFIX, True)):
            with contextlib.suppress(Refused):  # somebody else's
                if name.startswith(prefix) and (device := find(name.removeprefix(prefix), work=work)) is not None:
                    found.append(device)
    return sorted(found)


def _uuid(machine: str, work: bool) -> str:
    return (WORK_UUID_PREFIX if work else UUID_PREFIX) + machine


def table(device: Device) -> list[str]:
    """The lines of what is in force; none for a device that was never finished."""
    return device_mapper.table(device.name)


def faults(device: Device) -> str | None:
    """What device-mapper itself says is wrong with a snapshot."""
    said = " ".join(device_mapper.status(device.name)).split()
    return next((word for word in said if word in ("Invalid", "Overflow")), None)


def is_open(device: Device) -> bool:
    """Whether anybody uses the device, and does not stop within a moment."""
    for pause in (*_PAUSES, None):
        found = device_mapper.find(device.name)
        if found is None or not found.openers:
            return False
        if pause is not None:
            time.sleep(pause)
    return True


def create(machine: str, lines: Sequence[str], *, work: bool = False) -> Device:
    """Make a machine's device from the lines of a table. Raises `Failed`, and then there is none."""
    name = grammar.mapper(machine, work=work)
    device_mapper.create(name, _uuid(machine, work), lines)
    made = find(machine, work=work)
    if made is None:
        raise Failed(f"{name} went away as soon as it was made", busy=True)
    return made


def remove_all(machine: str) -> None:
    """Remove every device of a machine's; one that stays keeps no other. Raises `Refused`, `Failed`."""
    try:
        remove(machine, work=True)
    finally:
        remove(machine)


def remove(machine: str, *, work: bool = False) -> None:
    """Remove a machine's device, if there is one; what it was made of follows. Raises `Refused`, `Failed`.

    Somebody who has it open is waited for, a few seconds.
    """
    deadline, pause = time.monotonic() + _PATIENCE, _PAUSES[0]
    while (device := find(machine, work=work)) is not None:
        try:
            device_mapper.remove(device.name)
        except Failed as failed:
            if find(machine, work=work) is not None and (not failed.busy or time.monotonic() > deadline):
                raise
        else:
            return
        time.sleep(pause)
        pause = min(pause * 2, _PAUSES[-1])
