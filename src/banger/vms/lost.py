"""Machines that have a directory and no row: the database was damaged, restored from a copy, or lost.

What the second record (`handles`) tells of is entered again, and from then on is a machine like any other, with its
disk. Its process is believed only where that is proven: by the process itself, or, of one in a jail, by the root
helper, which looks at its user, its root directory, its program and its control group. Where there is no second record
either, nobody knows whose the disk is: whatever runs is ended, and the directory is set aside, named in the log and by
the doctor, and never removed.

At a daemon's start before the engine recovers, so that a change that was under way finds its machine.
"""

import asyncio
import logging
import os
import re
import time

import msgspec

from banger import proc
from banger.paths import Paths
from banger.privileged.operations import Inspect
from banger.vmm.driver import Handle
from banger.vms import handles, strays
from banger.vms.deadline import Deadline
from banger.vms.ending import switch_off
from banger.vms.parts import Parts
from banger.vms.record import VmRecord

log = logging.getLogger("banger.vms")

_ID = re.compile(r"[0-9a-f]{16}")


def remedy(parts: Parts, vm_id: str, ending: bool = False) -> tuple[str, str]:
    """What is done about a machine without a row, and why."""
    kept = handles.read(parts.paths, vm_id)
    if kept is not None:
        return "enter again", f"it is {kept.name}, as its second record says, and its first is lost"
    if not ending and os.path.isdir(parts.paths.vm(vm_id)):
        return "set aside", "nobody knows whose disk it is"
    return "remove", "its machine is gone"


async def recover_one(parts: Parts, vm_id: str, ending: bool = False) -> None:
    """Take a machine without a row. With ``ending``, a change makes or removes it, and sees to its files itself.

    Raises OSError, `errors.BangerError`; what of it runs in a jail goes on where the helper cannot be asked.
    """
    kept = handles.read(parts.paths, vm_id)
    handle = await _proven(parts, kept) if kept is not None else None
    if parts.machines.get(vm_id) is not None:
        return
    if kept is not None:
        record = _entered(parts, kept, handle)
        log.warning("machine %s (%s) had lost its record, and is found again", vm_id, record.name)
        if record.handle is None:
            await switch_off(parts, vm_id)
        return
    await switch_off(parts, vm_id)
    directory = parts.paths.vm(vm_id)
    if not ending and os.path.isdir(directory):
        aside = os.path.join(parts.paths.set_aside, f"{vm_id}-{time.strftime('%Y%m%dT%H%M%S')}")
        os.makedirs(parts.paths.set_aside, mode=0o700, exist_ok=True)
        os.rename(directory, aside)
        log.error("nobody knows whose machine %s was: its disk is set aside at %s", vm_id, aside)


def there(paths: Paths) -> set[str]:
    """Ids that have a directory, on disk or at run time."""
    found: set[str] = set()
    for directory in (paths.vms, os.path.dirname(paths.vm_runtime("x"))):
        if os.path.isdir(directory):
            found |= {name for name in os.listdir(directory) if _ID.fullmatch(name)}
    return found


def _entered(parts: Parts, kept: VmRecord, handle: Handle | None) -> VmRecord:
    """The row again. A name that another machine has by now is made unique by the id; so is the slot."""
    name = kept.name if parts.machines.named(kept.name) is None else f"{kept.name[:40]}-{kept.id}"
    free = kept.slot not in parts.machines.slots()
    slot = kept.slot if free else parts.machines.free_slot()
    if kept.jailed and not free:  # a jail's user and cable are its slot's
        handle = None
    state = "running" if handle is not None else "error" if kept.state == "error" else "stopped"
    changes = {} if handle is not None else {"stopped": time.time(), "stop_reason": "failed: its record was lost"}
    limit = kept.deadline if handle is None or kept.deadline or kept.ttl is None else Deadline.after(kept.ttl)
    record = msgspec.structs.replace(
        kept, name=name, slot=slot, handle=handle, state=state, deadline=limit, **changes
    )  # its time limit begins anew: the file is older than the last start's
    parts.machines.insert(record)
    return record


async def _proven(parts: Parts, kept: VmRecord) -> Handle | None:
    """The handle that the file has, where its process is this machine's monitor and its files are where they belong.

    Raises what asking root raises.
    """
    handle = kept.handle
    if handle is None or handle.driver != kept.driver or not _at_home(parts.paths, kept.id, handle):
        return None
    process = proc.Identity(handle.pid, handle.start_ticks)
    if not proc.alive(process):
        return None
    if kept.jailed:
        inside = handle.details.get("vm") == kept.id and process in await _in_jail(parts, kept)
        return handle if inside else None
    return handle if process in await asyncio.to_thread(strays.find, parts.paths, kept.id) else None


def _at_home(paths: Paths, vm_id: str, handle: Handle) -> bool:
    places = {os.path.dirname(each) for each in (handle.agent_socket, handle.control_socket) if each}
    files = {os.path.dirname(each) for each in (handle.console, handle.log) if each}
    return places <= {paths.vm_runtime(vm_id)} and files <= {paths.vm(vm_id)}


async def _in_jail(parts: Parts, kept: VmRecord) -> list[proc.Identity]:
    """The monitors in the machine's jail, as root sees them, if the jail is its slot's."""
    found = (await parts.root.perform(Inspect(vm_id=kept.id))).values
    inhabitants = found["processes"]
    assert isinstance(inhabitants, list)
    if found["uid"] != parts.root.host.uid(kept.slot):
        return []
    return [proc.Identity(each["pid"], each["start_ticks"]) for each in inhabitants if each["monitor"]]
