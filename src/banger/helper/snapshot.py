"""A machine's root as a device-mapper snapshot: a shared, read-only image below, a sparse file that takes the writes.

The device (`grammar.mapper`) has two parts. The first is as large as the image: a persistent ``snapshot`` with chunks
of 4 KiB. The second, where the disk is larger than the image, lies plainly in the file: nothing is below it, so
nothing has to be copied, and what the guest discards there goes back to the host.

The file (the *overlay*), all sparse::

    0                       the copy-on-write store, `Layout.store` bytes: kernel's form, magic "SnAp"
    Layout.tail_at          the part beyond the image; a multiple of 1 MiB
    Layout.file             its end

The store cannot overflow. It is a header of one chunk, and areas: each one chunk that names 256 chunks of data, and
those. The kernel clears one area ahead. For an image of n chunks the store has::

    chunks = 1 + 257 * (n // 256 + 1)

So only the host's own disk can be full. The guest then sees errors of I/O and nothing that it has been told is written
is lost; the kernel marks the store invalid for good, although all that was acknowledged is in it. As the store cannot
have overflowed, `revive` takes that mark back when the disk is made again.
"""

import contextlib
import os
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from . import disk, files, loop, mapper
from .host import Host
from .machine import OfMachine
from .operation import Outcome, Refused

SECTOR, CHUNK, ALIGNMENT = 512, 4096, 1 << 20
NAMED = CHUNK // 16
"""Chunks that one chunk of the store's metadata names."""
BASE_LIMIT, DISK_LIMIT = 256 << 30, 64 << 40
"""The kernel keeps 40 bytes or so in memory for each chunk that differs: 2.5 GiB for the largest image, all of it
written."""

_HEADER = struct.Struct("<4I")
"""Magic, valid, version, sectors of a chunk."""
_MAGIC, _VERSION = 0x70416E53, 1
_SNAPSHOT = re.compile(r"0 (\d+) snapshot (\d+:\d+) (\d+:\d+) PO 8")
_LINEAR = re.compile(r"(\d+) (\d+) linear (\d+:\d+) 0")


class Layout(NamedTuple):
    """How large the parts are, in bytes."""

    base: int
    tail: int
    store: int

    @property
    def tail_at(self) -> int:
        return -(-self.store // ALIGNMENT) * ALIGNMENT

    @property
    def file(self) -> int:
        """The size that an overlay has."""
        return self.tail_at + self.tail


def layout(base: int, size: int) -> Layout:
    """Of a disk of ``size`` bytes over an image of ``base`` bytes. Raises `Refused`."""
    if base % SECTOR or not 0 < base <= BASE_LIMIT:
        raise Refused(f"an image of {base} bytes: it has whole sectors, and at most {BASE_LIMIT} bytes")
    if size % SECTOR or not base <= size <= DISK_LIMIT:
        raise Refused(f"a disk of {size} bytes over an image of {base}")
    chunks = -(-base // CHUNK)
    return Layout(base, size - base, CHUNK * (1 + (NAMED + 1) * (chunks // NAMED + 1)))


@dataclass(frozen=True, kw_only=True)
class Snapshot(OfMachine):
    """A machine's disk of ``size`` bytes: what is in ``overlay``, over the image ``base``.

    The overlay is the owner's, sparse, and exactly `Layout.file` bytes long. An equal device that is there already is
    the answer; one that differs is refused. Answers device, number, loops and size. With ``work`` the raw file of that
    name becomes the machine's work disk as well.
    """

    NAME: ClassVar[str] = "snapshot.create"
    GATE: ClassVar[str] = (
        "Anything but two regular files of the owner's below the state directory, reached without a link; one file for "
        "both; an overlay that anybody uses, of another size, or that begins with something else than such a store."
    )

    RESOURCE: ClassVar[str] = "disk"

    base: str
    overlay: str
    size: int
    work: str = ""

    def validate(self, host: Host) -> None:
        super().validate(host)
        disk.refuse_twice(host, self.base, self.overlay, *filter(None, (self.work,)))
        if self.size % SECTOR or not 0 < self.size <= DISK_LIMIT:
            raise Refused(f"{self.size} bytes is not the size of a disk")

    def describe(self) -> str:
        return f"disk of {self.vm_id!r}: {self.size} bytes, {self.overlay!r} over {self.base!r}"

    def execute(self, host: Host, descriptors: Sequence[int] = ()) -> Outcome:
        self.validate(host)
        disk.attach_work(host, self.vm_id, self.work)
        with contextlib.ExitStack() as held:
            base = held.enter_context(files.opened(host, self.base, os.O_RDONLY))
            overlay = held.enter_context(files.opened(host, self.overlay, os.O_RDWR))
            if os.path.sameopenfile(base, overlay):
                raise Refused("a disk cannot lie over itself")
            form = layout(os.fstat(base).st_size, self.size)
            if os.fstat(overlay).st_size != form.file:
                raise Refused(f"{self.overlay}: {os.fstat(overlay).st_size} bytes; this disk needs {form.file}")
            device = mapper.find(self.vm_id)
            if device is not None:
                present = _loops(mapper.table(device), form, base, overlay)
                if present is not None and mapper.faults(device) is None:
                    return _outcome(device, present, self.size)
                if present is None and mapper.table(device):
                    raise Refused(f"{device.name} is there, and is made of something else")
                mapper.remove(self.vm_id)
            files.claim(overlay, self.overlay)
            revive(overlay, self.overlay)
            return self._make(held, form, base, overlay)

    def _make(self, held: contextlib.ExitStack, form: Layout, base: int, overlay: int) -> Outcome:
        below = held.enter_context(loop.attach(base, read_only=True))
        store = held.enter_context(loop.attach(overlay, size=form.store, direct=True))
        used, sectors = [below.number, store.number], form.base // SECTOR
        lines = [f"0 {sectors} snapshot {below.number} {store.number} PO {CHUNK // SECTOR}"]
        if form.tail:
            tail = held.enter_context(loop.attach(overlay, offset=form.tail_at, size=form.tail, direct=True))
            used.append(tail.number)
            lines.append(f"{sectors} {form.tail // SECTOR} linear {tail.number} 0")
        return _outcome(mapper.create(self.vm_id, lines), used, self.size)

    def undo(self, host: Host) -> None:
        """The devices go, and their loop devices with them; the files stay."""
        mapper.remove_all(self.vm_id)


def revive(overlay: int, path: str) -> None:
    """Let the kernel take a store again that it gave up when the host's disk was full. Raises `Refused` for no store.

    A commit writes the names of chunks after their data, and stops for good at the first failure: what is named on
    disk was written whole, and what is not named was never acknowledged.
    """
    magic, valid, version, chunk = _HEADER.unpack(os.pread(overlay, _HEADER.size, 0))
    if (magic, valid, version, chunk) == (0, 0, 0, 0):
        return
    if (magic, version, chunk) != (_MAGIC, _VERSION, CHUNK // SECTOR) or valid not in (0, 1):
        raise Refused(f"{path} begins with something else than a copy-on-write store of ours")
    if not valid:
        os.pwrite(overlay, _HEADER.pack(magic, 1, version, chunk), 0)
        os.fdatasync(overlay)


def _loops(lines: Sequence[str], form: Layout, base: int, overlay: int) -> list[str] | None:
    """The loop devices of a table that is the one we would make; None for any other."""
    expected = [
        loop.expected(base, read_only=True),
        loop.expected(overlay, size=form.store),
        loop.expected(overlay, offset=form.tail_at, size=form.tail),
    ]
    found = _SNAPSHOT.fullmatch(lines[0].strip()) if lines else None
    if found is None or int(found[1]) * SECTOR != form.base or len(lines) != (2 if form.tail else 1):
        return None
    numbers = [found[2], found[3]]
    if form.tail:
        rest = _LINEAR.fullmatch(lines[1].strip())
        if rest is None or (int(rest[1]) * SECTOR, int(rest[2]) * SECTOR) != (form.base, form.tail):
            return None
        numbers.append(rest[3])
    equal = all(loop.status(number) == wanted for number, wanted in zip(numbers, expected, strict=False))
    return numbers if equal else None


def _outcome(device: mapper.Device, loops: Sequence[str], size: int) -> Outcome:
    return Outcome({"device": device.path, "number": device.number, "loops": list(loops), "size": size})
