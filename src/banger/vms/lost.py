"""Machines that have a directory and no row: the database was damaged, restored from a copy, or lost.

What the second record (`handles`) tells of is entered again, and from then on is a machine like any other, with its
disk. Its process is believed only where the process itself says whose it is. Where there is no second record either,
nobody knows whose the disk is: whatever runs is ended, and the directory is set aside, named in the log and by the
doctor, and never removed.

At a daemon's start before the engine recovers, so that a change that was under way finds its machine.
"""

import logging
import os
import re
import time

import msgspec

from banger import proc
from banger.paths import Paths
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

    Raises OSError, `errors.BangerError`.
    """
    if parts.machines.get(vm_id) is not None:
        return
    kept = handles.read(parts.paths, vm_id)
    if kept is not None:
        record = _entered(parts, kept)
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


def _entered(parts: Parts, kept: VmRecord) -> VmRecord:
    """The row again. A name that another machine has by now is made unique by the id; so is the slot."""
    handle = kept.handle if _is_its_own(parts.paths, kept) else None
    name = kept.name if parts.machines.named(kept.name) is None else f"{kept.name[:40]}-{kept.id}"
    slot = kept.slot if kept.slot not in parts.machines.slots() else parts.machines.free_slot()
    state = "running" if handle is not None else "error" if kept.state == "error" else "stopped"
    changes = {} if handle is not None else {"stopped": time.time(), "stop_reason": "failed: its record was lost"}
    limit = kept.deadline if handle is None or kept.deadline or kept.ttl is None else Deadline.after(kept.ttl)
    record = msgspec.structs.replace(
        kept, name=name, slot=slot, handle=handle, state=state, deadline=limit, **changes
    )  # its time limit begins anew: the file is older than the last start's
    parts.machines.insert(record)
    return record


def _is_its_own(paths: Paths, kept: VmRecord) -> bool:
    """Whether the process that the file names is this machine's monitor, and its files are where they belong."""
    handle = kept.handle
    if handle is None or kept.jailed or handle.driver != kept.driver:
        return False
    places = {os.path.dirname(each) for each in (handle.agent_socket, handle.control_socket) if each}
    files = {os.path.dirname(each) for each in (handle.console, handle.log) if each}
    if not (places <= {paths.vm_runtime(kept.id)} and files <= {paths.vm(kept.id)}):
        return False
    return proc.Identity(handle.pid, handle.start_ticks) in strays.find(paths, kept.id)
