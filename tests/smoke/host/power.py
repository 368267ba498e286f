"""A box whose power can be cut: only what its kernel had flushed is on its disk afterwards.

The disk is a raw file, and changes between one life of the box and the next, never during one. The emulator works on
an overlay that is thrown away, and logs every write and every flush in order (QEMU's blklogwrites, in the form of the
kernel's dm-log-writes). A cut is SIGKILL to the emulator. Then the log is played onto the disk: all up to the last
flush that ended, and of the rest, which a drive may have had in its cache, some writes and not others. The next life is
a boot from that disk, with nothing in memory.

The log, in sectors of 512 bytes: a head (magic, version, count of entries at the last flush, sector size); then each
entry, a sector that begins with where, how much, flags and nothing, all of 64 bits, and the data if it has any.
"""

import contextlib
import mmap
import os
import random
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.smoke.host import line, machine, prepared
from tests.smoke.host.line import Ended, Line
from tests.smoke.host.machine import LOG, Machine
from tests.smoke.host.prepared import Prepared

SECTOR = 512
SPEAKING = (
    "for i in $(seq 600); do [ -S /run/systemd/private -a -S /run/dbus/system_bus_socket ] && break; sleep 0.1; done"
)
"""Waits until systemd can be asked, by root and by everybody."""
MAGIC, FLUSH, DISCARD = 0x6A736677736872, 1, 4
_HEAD, _ENTRY = struct.Struct("<QQQI"), struct.Struct("<4Q")


class Entry(NamedTuple):
    """A write, or a flush: then it has no data. All numbers are of bytes; the data is in the log from ``start``."""

    offset: int
    start: int
    length: int


class Cut(NamedTuple):
    """What became of the writes of one life."""

    flushed: int
    kept: int
    lost: int


class Powered:
    """A box on ``disk``, which is its own from here on; off until `boot`."""

    def __init__(self, ready: Prepared, disk: Path, chance: random.Random) -> None:
        self._ready = ready
        self._disk = disk
        self._chance = chance
        self._machine: Machine | None = None
        self._line: Line | None = None

    def boot(self, first: Sequence[str] = (), user: str | None = None) -> float:
        """Switch it on; how long it took until the system was up.

        ``first`` is a command that is run while it comes up, as soon as systemd can be spoken to.
        """
        begun = time.monotonic()
        directory = prepared.run_directory()
        argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(self._disk), "-F", "raw"]
        subprocess.run([*argv, str(directory / "root.qcow2")], timeout=60, check=True)
        (directory / LOG).touch()
        self._machine = Machine(directory, self._ready.parts, self._ready.size, logged=True)
        self._machine.listening()
        self._line = Line()
        self._line.attach(self._machine.agent_socket, machine.BOOT_SECONDS)
        if first:
            self.run(SPEAKING)
            self._run(tuple(first), user=user, timeout=machine.BOOT_SECONDS)
        self.run(prepared.SETTLED + prepared.PREPARE, timeout=machine.BOOT_SECONDS)
        return time.monotonic() - begun

    def run(self, command: str, *, stdin: bytes | None = None, timeout: float = 120, check: bool = True) -> Ended:
        """A line of bash, by root."""
        return self._run((*line.SHELL, command), stdin=stdin, timeout=timeout, check=check)

    def _run(
        self,
        argv: tuple[str, ...],
        *,
        user: str | None = None,
        stdin: bytes | None = None,
        timeout: float = 120,
        check: bool = True,
    ) -> Ended:
        assert self._line is not None, "the box is off"
        ended = self._line.run(argv, user=user, env={}, cwd="/", stdin=stdin, timeout=timeout)
        assert not check or ended.status == 0, (
            f"{' '.join(argv)}\nended with {ended.status}:\n{ended.stdout}{ended.stderr}"
        )
        return ended

    def cut(self) -> Cut:
        """Switch it off, at once."""
        assert self._machine is not None, "the box is off"
        directory = self._machine.directory
        self._off()
        found = replay(directory / LOG, self._disk, self._chance)
        machine.remove(directory)
        return found

    def end(self) -> None:
        """Off, if it is on; the disk stays."""
        if self._machine is not None:
            directory = self._machine.directory
            self._off()
            machine.remove(directory)

    def console(self) -> str:
        """The end of what it has said."""
        return machine.tail(self._machine.directory / "console.log") if self._machine is not None else ""

    def _off(self) -> None:
        assert self._machine is not None
        self._machine.end()
        self._machine = None
        if self._line is not None:
            with contextlib.suppress(line.Silent):
                self._line.close()
            self._line = None


def replay(log: Path, disk: Path, chance: random.Random) -> Cut:
    """Play a log onto a disk: what was flushed, and of the rest what ``chance`` decides."""
    with open(log, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = list(entries(data))
        durable = max((at for at, entry in enumerate(found) if not entry.length), default=-1)
        later, share = found[durable + 1 :], chance.random()
        kept = [entry for entry in later if chance.random() < share]
        with memoryview(data) as view, open(disk, "r+b", buffering=0) as target:
            for entry in (*found[: durable + 1], *kept):
                os.pwrite(target.fileno(), view[entry.start : entry.start + entry.length], entry.offset)
    return Cut(sum(each.length > 0 for each in found[: durable + 1]), len(kept), len(later) - len(kept))


def entries(log: mmap.mmap) -> Iterator[Entry]:
    """A log's entries in order, to the first that was never written whole."""
    magic, _, _, sector = _HEAD.unpack_from(log)
    if (magic, sector) != (MAGIC, SECTOR):
        raise ValueError("this is no log of writes")
    at = SECTOR
    while at + SECTOR <= len(log):
        where, count, flags, _ = _ENTRY.unpack_from(log, at)
        at, length = at + SECTOR, count * SECTOR
        if flags & DISCARD:
            raise ValueError("the log has a discard")
        if not (length or flags & FLUSH) or at + length > len(log):
            return
        if length:
            yield Entry(where * SECTOR, at, length)
        if flags & FLUSH:
            yield Entry(0, at, 0)
        at += length
