"""What is left over: things of ours that no record tells of and that no change is making or removing.

One list, for the daemon's start, which clears it, and for the doctor, which shows it and clears it when asked. A row is
there before all that belongs to it, and goes last; so what is there and has no row is nobody's, if both are looked at
in one step. What had to be asked for before is looked at again then. And so is each thing when its turn comes, since a
change may have begun meanwhile.

What has a disk is never removed. A machine whose second record is there is entered again; a directory that nobody can
tell the owner of is set aside, under a name that the doctor shows.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

import msgspec

from banger import errors, proc
from banger.api.daemon import Leftover
from banger.disk import staging
from banger.net import plan
from banger.privileged.operations import Disks, Jails, RemoveDisk, Sweep
from banger.vms import handles, lost, strays
from banger.vms.parts import Parts
from banger.vms.record import VmRecord

log = logging.getLogger("banger.vms")


class Orphan(NamedTuple):
    """Something left over, and what is done about it; ``mend`` is None where that is for the owner to decide."""

    told: Leftover
    mend: Callable[[], Awaitable[None]] | None


class Changes(NamedTuple):
    """What the engine has under way. ``of`` tells whether a machine is in the middle of a change."""

    of: Callable[[str], bool]
    oldest: Callable[[], float | None]
    """When the oldest of all changes under way began."""


async def find(parts: Parts, changes: Changes) -> list[Orphan]:
    """Everything that is left over at this moment. Raises what `Privileged.perform` raises."""
    found = await asyncio.to_thread(strays.everywhere, parts.paths)
    held = await _held(parts)
    if _unheld(parts, changes, held):
        held &= await _held(parts)  # what goes just now is none
    # from here on nothing is awaited: no change comes between these looks and the records
    processes = {vm_id: alive for vm_id, each in found.items() if (alive := list(filter(proc.alive, each)))}
    known = {each.id: each for each in parts.machines.all()}
    gone = {each for each in lost.there(parts.paths) | set(processes) if each not in known and not changes.of(each)}
    orphans = [lost_machine(parts, vm_id, processes.get(vm_id, [])) for vm_id in sorted(gone)]
    orphans += _processes(parts, processes, known, changes)
    orphans += _sockets(parts, changes)
    orphans += _unheld(parts, changes, {each for each in held if each[1] not in gone or _is_nobodys(parts, each[1])})
    if parts.network is not None:
        orphans += [_tap(parts, slot) for slot in parts.network.surplus()]
    oldest = changes.oldest()
    since = time.time() if oldest is None else min(time.time(), oldest)
    orphans += [_staged(path) for path in staging.found(parts.paths.staging, since - staging.GRACE)]
    if oldest is None:
        orphans += _images(parts)
    return orphans


def _idle(parts: Parts, changes: Changes, vm_id: str) -> bool:
    """Whether a machine, on record or not, has no process and is in no change."""
    record = parts.machines.get(vm_id)
    return (record is None or record.handle is None) and not changes.of(vm_id)


async def clear(found: list[Orphan]) -> list[Leftover]:
    """Do what is to be done about each; what came of it. One that cannot be mended keeps no other from it."""
    came = []
    for told, mend in found:
        if mend is None:
            came.append(told)
            continue
        try:
            await mend()
        except (errors.BangerError, OSError) as failed:
            log.error("%s %s is left over, and stays: %s", told.kind, told.name, failed)
            came.append(msgspec.structs.replace(told, error=str(failed)))
        else:
            log.warning("%s %s was left over: %s; %s", told.kind, told.name, told.reason, told.remedy)
            came.append(msgspec.structs.replace(told, done=True))
    return came


def lost_machine(parts: Parts, vm_id: str, processes: list[proc.Identity], ending: bool = False) -> Orphan:
    """A machine that has no row; with ``ending`` a change makes or removes it, and sees to its files."""
    remedy, reason = lost.remedy(parts, vm_id, ending)
    running = f", and it runs as process {processes[0].pid}" if processes else ""
    told = Leftover(kind="machine", name=parts.paths.vm(vm_id), reason=reason + running, remedy=remedy)
    return Orphan(told, lambda: lost.recover_one(parts, vm_id, ending))


def _processes(
    parts: Parts, found: dict[str, list[proc.Identity]], known: dict[str, VmRecord], changes: Changes
) -> Iterator[Orphan]:
    """Monitors of machines that are on record without them."""
    for vm_id, running in sorted(found.items()):
        record = known.get(vm_id)
        if record is None or changes.of(vm_id):
            continue
        handle = record.handle
        for each in running:
            if handle is None or (handle.pid, handle.start_ticks) != each:
                reason = f"it is a monitor of {record.name}, which is {record.state} without it"
                told = Leftover(kind="process", name=str(each.pid), reason=reason, remedy="end")
                yield Orphan(told, lambda each=each: _end(each))  # type: ignore[misc]


async def _end(process: proc.Identity) -> None:
    proc.send_signal(process, signal.SIGKILL)
    await proc.wait_gone(process, 10)


def _sockets(parts: Parts, changes: Changes) -> Iterator[Orphan]:
    """Directories at run time of machines that do not run."""
    there = _names(os.path.dirname(parts.paths.vm_runtime("x")))
    for record in parts.machines.all():
        if record.id in there and _idle(parts, changes, record.id):
            path = parts.paths.vm_runtime(record.id)
            told = Leftover(kind="sockets", name=path, reason=f"{record.name} does not run", remedy="remove")
            yield Orphan(told, lambda vm_id=record.id: _remove_sockets(parts, changes, vm_id))  # type: ignore[misc]


async def _remove_sockets(parts: Parts, changes: Changes, vm_id: str) -> None:
    if _idle(parts, changes, vm_id):  # in one step with the removal
        shutil.rmtree(parts.paths.vm_runtime(vm_id), ignore_errors=True)


async def _held(parts: Parts) -> set[tuple[str, str]]:
    """What root holds for machines: ``jail`` (or a control group) and ``device``, each with a machine's id."""
    if parts.privileged is None or not os.path.isdir(parts.privileged.host.jails):
        return set()
    found = set()
    for kind, operation in (("jail", Jails()), ("device", Disks())):
        machines = (await parts.privileged.perform(operation)).values["machines"]
        assert isinstance(machines, list)
        found |= {(kind, vm_id) for vm_id in machines}
    return found


def _is_nobodys(parts: Parts, vm_id: str) -> bool:
    """Whether nothing tells of a machine without a row: what the host holds for any other is judged when that is in."""
    return handles.read(parts.paths, vm_id) is None


def _unheld(parts: Parts, changes: Changes, held: set[tuple[str, str]]) -> list[Orphan]:
    """Those of machines that do not run, jails first: what is in one may have the device open."""
    ordered = sorted(held, key=lambda each: (each[0] != "jail", each[1]))
    return [_apart(parts, changes, kind, vm_id) for kind, vm_id in ordered if _idle(parts, changes, vm_id)]


def _apart(parts: Parts, changes: Changes, kind: str, vm_id: str) -> Orphan:
    async def take() -> None:
        operation = Sweep(vm_id=vm_id) if kind == "jail" else RemoveDisk(vm_id=vm_id)
        if _idle(parts, changes, vm_id):
            await parts.root.perform(operation)

    record = parts.machines.get(vm_id)
    reason = "no record tells of its machine" if record is None else f"{record.name} does not run"
    told = Leftover(kind="jail" if kind == "jail" else "device", name=vm_id, reason=reason, remedy="remove")
    return Orphan(told, take)


def _tap(parts: Parts, slot: int) -> Orphan:
    async def discard() -> None:
        assert parts.network is not None
        await parts.network.discard(slot)

    told = Leftover(kind="tap", name=plan.tap(slot), reason="no machine has it, and none will next", remedy="remove")
    return Orphan(told, discard)


def _staged(path: str) -> Orphan:
    async def remove() -> None:
        await asyncio.to_thread(staging.remove, path)

    return Orphan(Leftover(kind="staging", name=path, reason="no change is at work on it", remedy="remove"), remove)


def _images(parts: Parts) -> Iterator[Orphan]:
    """Named alone: machines may have their disks over one of them."""
    for image_id in sorted(_names(parts.paths.images)):
        with contextlib.suppress(errors.NotFound):
            parts.images.get(image_id)
            continue
        reason = "no record tells of this image; its machines, if there are any, need it"
        yield Orphan(Leftover(kind="image", name=parts.paths.image(image_id), reason=reason, remedy=""), None)


def _names(directory: str) -> set[str]:
    return set(os.listdir(directory)) if os.path.isdir(directory) else set()
