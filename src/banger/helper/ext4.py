"""The file system on a machine's device, without mounting it: checked, one file read, files written.

Only while nobody has the device open: the guest's kernel would not notice what changed beneath it. What the guest
wrote is parsed by tools that run as nobody's user (`offline`), never here and never by this host's kernel.
"""

import base64
import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from . import debugfs, edits, inodes, mapper, offline
from .guest_file import Directory, Edit, GuestFile, Owner, Remove
from .host import Host
from .machine import OfMachine
from .operation import Failed, Outcome, Refused

READ_LIMIT = 4 << 20
EDIT_LIMIT = 256
_LARGEST = (1 << 32) - 1


@contextlib.contextmanager
def _idle(host: Host, machine: str) -> Iterator[offline.Device]:
    """A machine's device, which nobody uses. Raises `Refused`, `Failed`."""
    found = mapper.find(machine)
    if found is None:
        raise Failed(f"machine {machine} has no disk attached")
    if mapper.is_open(found):
        raise Failed(f"the disk of machine {machine} is in use", busy=True)
    with offline.device(host, found.rdev) as target:
        yield target


@dataclass(frozen=True, kw_only=True)
class SnapshotCheck(OfMachine):
    """Replay the journal of a machine's file system and mend it. Answers ``mended``."""

    NAME: ClassVar[str] = "snapshot.check"
    GATE: ClassVar[str] = "Any device but the machine's own; that one while somebody has it open."

    RESOURCE: ClassVar[str] = "disk"

    def describe(self) -> str:
        return f"check the disk of {self.vm_id!r}"

    def execute(self, host: Host, descriptors: Sequence[int] = ()) -> Outcome:
        self.validate(host)
        with _idle(host, self.vm_id) as target:
            return Outcome({"mended": offline.mend(target)})

    def undo(self, host: Host) -> None:
        """What was mended stays so."""


@dataclass(frozen=True, kw_only=True)
class Ext4Read(OfMachine):
    """Answer the ``content`` of a file, in base64. Symbolic links are followed inside the guest's tree."""

    NAME: ClassVar[str] = "ext4.read"
    GATE: ClassVar[str] = (
        f"Any device but the machine's own; that one while somebody has it open; a file of more than "
        f"{READ_LIMIT >> 20} MiB."
    )

    RESOURCE: ClassVar[str] = "disk"

    path: str

    def validate(self, host: Host) -> None:
        super().validate(host)
        with _judged():
            debugfs.spelled(self.path)

    def describe(self) -> str:
        return f"read {self.path[:200]!r} on the disk of {self.vm_id!r}"

    def execute(self, host: Host, descriptors: Sequence[int] = ()) -> Outcome:
        self.validate(host)
        with _idle(host, self.vm_id) as target:
            return Outcome({"content": base64.b64encode(read(target, self.path)).decode("ascii")})

    def undo(self, host: Host) -> None:
        """Nothing was changed."""


@dataclass(frozen=True, kw_only=True)
class Ext4Write(OfMachine):
    """Write files, make directories, remove, set owners: in any order, each verified afterwards.

    A file replaces a file or link; missing parents are made (root's, 0755).
    """

    NAME: ClassVar[str] = "ext4.write"
    GATE: ClassVar[str] = (
        "Any device but the machine's own; that one while somebody has it open; a file system that was not unmounted; "
        f"content from a file of this host; more than {EDIT_LIMIT} edits."
    )

    RESOURCE: ClassVar[str] = "disk"

    files: tuple[GuestFile, ...] = ()
    directories: tuple[Directory, ...] = ()
    removals: tuple[Remove, ...] = ()
    owners: tuple[Owner, ...] = ()

    @classmethod
    def of(cls, vm_id: str, edits: Sequence[Edit]) -> "Ext4Write":
        """The operation for edits of all kinds."""
        return cls(
            vm_id=vm_id,
            files=tuple(each for each in edits if isinstance(each, GuestFile)),
            directories=tuple(each for each in edits if isinstance(each, Directory)),
            removals=tuple(each for each in edits if isinstance(each, Remove)),
            owners=tuple(each for each in edits if isinstance(each, Owner)),
        )

    @property
    def edits(self) -> list[Edit]:
        return [*self.files, *self.directories, *self.removals, *self.owners]

    def validate(self, host: Host) -> None:
        super().validate(host)
        if len(self.edits) > EDIT_LIMIT:
            raise Refused(f"{len(self.edits)} edits are more than {EDIT_LIMIT}")
        if any(each.source is not None for each in self.files):
            raise Refused("a file's content comes with the request, not from this host")
        for each in self.edits:
            if not isinstance(each, Remove):
                _refuse_numbers(each)
        with _judged():
            edits.judge(self.edits)

    def describe(self) -> str:
        names = ", ".join(repr(each.path[:80]) for each in self.edits[:5])
        return f"edit {len(self.edits)} paths on the disk of {self.vm_id!r}: {names}"

    def execute(self, host: Host, descriptors: Sequence[int] = ()) -> Outcome:
        self.validate(host)
        with _idle(host, self.vm_id) as target:
            write(target, self.edits)
        return Outcome()

    def undo(self, host: Host) -> None:
        """A machine's files go with the machine."""


def read(target: offline.Device, path: str) -> bytes:
    """The bytes of a file. Raises `Refused`, `Failed`."""
    return offline.follow(target, inodes.read(path, READ_LIMIT))


def write(target: offline.Device, wanted: Sequence[Edit]) -> None:
    """Carry out edits. Contents wait in anonymous memory that any user may read by descriptor."""
    contents: dict[int, int] = {}

    def place(number: int, content: bytes) -> str:
        descriptor = os.memfd_create("content", os.MFD_CLOEXEC)
        contents[number] = descriptor
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        return f"/proc/self/fd/{descriptor}"

    try:
        offline.follow(target, edits.carry_out(wanted, place, int(time.time())), contents.values())
    finally:
        for descriptor in contents.values():
            os.close(descriptor)


@contextlib.contextmanager
def _judged() -> Iterator[None]:
    """What cannot be said to debugfs is refused."""
    try:
        yield
    except debugfs.Unspeakable as fault:
        raise Refused(offline.printable(fault)) from None


def _refuse_numbers(each: GuestFile | Directory | Owner) -> None:
    numbers = (each.uid, each.gid, 0 if each.mode is None else each.mode)
    if not all(0 <= number <= _LARGEST for number in numbers):
        raise Refused(f"{each.path[:80]!r}: an owner or a mode that no file has")
