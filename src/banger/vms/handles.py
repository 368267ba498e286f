"""The second record of a machine: ``handles.json`` in its own directory, beside its disk.

The row in the database and this file each say enough to end a machine and to find all that the host holds for it. The
file is there before the disk and before the monitor; it is written again when a monitor has started or ended.

On disk: ``{"version": 1, "machine": ...}``, the record as the row has it, at most `LIMIT` bytes, 0600. It is replaced
by a rename, and both the content and the name are durable before `keep` returns. Reading trusts nothing: a file that is
damaged, of another version, a link, or about another machine is as good as none.
"""

import asyncio
import logging
import os
import stat
import weakref
from collections.abc import Callable

import msgspec

from banger import errors
from banger.disk.fresh import replacing
from banger.paths import Paths
from banger.vms.record import VmRecord

log = logging.getLogger("banger.vms")

NAME = "handles.json"
VERSION = 1
LIMIT = 1 << 20

_turns: "weakref.WeakValueDictionary[str, asyncio.Lock]" = weakref.WeakValueDictionary()
"""By directory, for as long as somebody writes there."""


class Handles(msgspec.Struct, frozen=True):
    """The file."""

    version: int
    machine: VmRecord


def keep(paths: Paths, record: VmRecord | None) -> None:
    """Put a machine on record beside its disk; one that has no directory has nothing to find. Raises `errors.DiskFull`
    and what else `errors.from_os` makes of an OSError."""
    if record is None or not os.path.isdir(paths.vm(record.id)):
        return
    with replacing(os.path.join(paths.vm(record.id), NAME), durable=True) as beside:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(msgspec.json.encode(Handles(VERSION, record)))


async def kept(paths: Paths, record: VmRecord | None) -> None:
    """As `keep`, while others go on. Never left in the middle: whoever gives up may remove the directory.

    Writers of one machine's file take turns in the order in which they came, so that the newest record is the last.
    """
    if record is not None:
        await in_turn(paths, record.id, lambda: keep(paths, record))


async def in_turn(paths: Paths, vm_id: str, write: Callable[[], None]) -> None:
    """Have a file written in a machine's directory: in a thread, in turns, and never left in the middle."""
    async with _turn(paths, vm_id):
        writing = asyncio.ensure_future(asyncio.to_thread(write))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait({writing})
            raise


async def settled(paths: Paths, vm_id: str) -> None:
    """Wait for all who write the file by now: the directory is about to go."""
    async with _turn(paths, vm_id):
        pass


def _turn(paths: Paths, vm_id: str) -> asyncio.Lock:
    return _turns.setdefault(paths.vm(vm_id), asyncio.Lock())


def mend(paths: Paths, record: VmRecord) -> None:
    """Write the file again where it is lost or damaged, so that a machine does not stay with one record."""
    if read(paths, record.id) is None:
        try:
            keep(paths, record)
        except errors.BangerError as error:
            log.warning("machine %s has one record only: %s", record.id, error)


def read(paths: Paths, vm_id: str) -> VmRecord | None:
    """What the file says of the machine whose directory it is in; None where that cannot be believed."""
    try:
        descriptor = os.open(
            os.path.join(paths.vm(vm_id), NAME), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        )
        with open(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
                return None
            data = file.read(LIMIT + 1)
        if len(data) > LIMIT:
            return None
        kept = msgspec.json.decode(data, type=Handles)
    except (OSError, ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None
    return kept.machine if kept.version == VERSION and kept.machine.id == vm_id else None
