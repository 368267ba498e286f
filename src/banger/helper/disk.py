"""Machines' disks whatever they are made of: a raw file as a device, all devices of ours, the removal of one.

A raw file (a clone or a copy of an image) becomes the same kind of device as a snapshot, so what checks, edits and
launches needs to know one name only.
"""

import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from . import files, loop, mapper, walk
from .host import Host
from .machine import OfMachine
from .operation import Operation, Outcome, Refused

SECTOR = 512
_LINEAR = re.compile(r"0 (\d+) linear (\d+:\d+) 0")


@dataclass(frozen=True, kw_only=True)
class RawDisk(OfMachine):
    """A machine's disk that is one raw file of its own. Answers device, number, loops and size.

    With ``work`` the file of that name becomes the machine's work disk as well.
    """

    NAME: ClassVar[str] = "disk.attach"
    GATE: ClassVar[str] = (
        "Anything but a regular file of the owner's below the state directory, reached without a link; a file that "
        "anybody uses."
    )

    RESOURCE: ClassVar[str] = "disk"

    file: str
    work: str = ""

    def validate(self, host: Host) -> None:
        super().validate(host)
        refuse_twice(host, *filter(None, (self.file, self.work)))

    def describe(self) -> str:
        return f"disk of {self.vm_id!r}: {self.file!r}" + (f", work disk: {self.work!r}" if self.work else "")

    def execute(self, host: Host, descriptors: Sequence[int] = ()) -> Outcome:
        self.validate(host)
        attach_work(host, self.vm_id, self.work)
        return attach(host, self.vm_id, self.file)

    def undo(self, host: Host) -> None:
        """The devices go, and their loop devices with them; the files stay."""
        mapper.remove_all(self.vm_id)


def attach_work(host: Host, machine: str, path: str) -> None:
    """A machine's work disk, where it has one. Raises as `attach`."""
    if path:
        attach(host, machine, path, work=True)


def attach(host: Host, machine: str, path: str, *, work: bool = False) -> Outcome:
    """A raw file of the owner's as a machine's device; an equal one that is there is the answer. Raises `Refused`."""
    with contextlib.ExitStack() as held:
        file = held.enter_context(files.opened(host, path, os.O_RDWR))
        size = os.fstat(file).st_size
        if size % SECTOR or not size:
            raise Refused(f"{path}: {size} bytes is not the size of a disk")
        device = mapper.find(machine, work=work)
        if device is not None:
            lines = mapper.table(device)
            number = _loop(lines, file, size)
            if number is not None:
                return _outcome(device, number, size)
            if lines:
                raise Refused(f"{device.name} is there, and is made of something else")
            mapper.remove(machine, work=work)
        files.claim(file, path)
        below = held.enter_context(loop.attach(file, direct=True))
        device = mapper.create(machine, [f"0 {size // SECTOR} linear {below.number} 0"], work=work)
        return _outcome(device, below.number, size)


def refuse_twice(host: Host, *paths: str) -> None:
    """Raises `Refused` where two of the owner's files for one machine are the same, or are not below the state."""
    places = [walk.components(host.state, each) for each in paths]
    if any(each in places[:number] for number, each in enumerate(places)):
        raise Refused("one file cannot be two disks")


def _loop(lines: Sequence[str], file: int, size: int) -> str | None:
    """The loop device of a table that is the one we would make; None for any other."""
    found = _LINEAR.fullmatch(lines[0].strip()) if len(lines) == 1 else None
    if found is None or int(found[1]) * SECTOR != size or loop.status(found[2]) != loop.expected(file):
        return None
    return found[2]


def _outcome(device: mapper.Device, number: str, size: int) -> Outcome:
    return Outcome({"device": device.path, "number": device.number, "loops": [number], "size": size})


@dataclass(frozen=True, kw_only=True)
class RemoveDisk(OfMachine):
    """A machine's devices go, whatever they are; its files stay. For what is left of a machine that nobody knows."""

    NAME: ClassVar[str] = "disk.remove"
    GATE: ClassVar[str] = "Any device but the named machine's own, which their uuids say that banger made."

    RESOURCE: ClassVar[str] = "disk"

    def describe(self) -> str:
        return f"remove the disk of {self.vm_id!r}"

    def execute(self, host: Host, descriptors: Sequence[int] = ()) -> Outcome:
        self.validate(host)
        mapper.remove_all(self.vm_id)
        return Outcome()

    def undo(self, host: Host) -> None:
        """Nothing: a disk is made again by what made it."""


@dataclass(frozen=True, kw_only=True)
class Disks(Operation):
    """Answers the ids of all machines that have a device, as ``machines``."""

    NAME: ClassVar[str] = "disk.list"
    GATE: ClassVar[str] = "Nothing: it takes no argument, and tells only of machines."

    def validate(self, host: Host) -> None:
        pass

    def describe(self) -> str:
        return "list the disks"

    def execute(self, host: Host, descriptors: Sequence[int] = ()) -> Outcome:
        return Outcome({"machines": sorted({each.machine for each in mapper.devices()})})

    def undo(self, host: Host) -> None:
        """Nothing was done."""
