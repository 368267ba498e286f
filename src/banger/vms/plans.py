"""The changes of machines: which tasks, in which order, and which way to go when the daemon died in the middle.

What makes a machine, or starts one, is undone; what ends one is finished.
"""

from collections.abc import Sequence

import msgspec

from banger.engine.change import Kind, Recovery, Spec, Task
from banger.vms import attaching, booting, ending, making, publishing, reshaping, workdisks
from banger.vms.parts import Parts
from banger.vms.record import VmRecord

CREATE, START, STOP, RESTART = "vm.create", "vm.start", "vm.stop", "vm.restart"
KILL, DELETE, SET = "vm.kill", "vm.delete", reshaping.SET

TAKING = (CREATE, START, RESTART)
"""Changes that are judged first, because they take disk and memory (`banger.admission`)."""

TRANSIENT = (CREATE, DELETE)
"""Changes at whose end, undone or done, the machine's directory is gone."""


class Created(msgspec.Struct, frozen=True):
    """Spec of ``vm.create``."""

    record: VmRecord
    start: bool
    already: str = ""
    """Nothing is to be done, and this is why."""
    tools: bool = False
    """Of `banger.api.vm.CreateVm`."""


class Changed(msgspec.Struct, frozen=True):
    """Spec of the others, except ``vm.set``."""

    id: str
    timeout: float = 0.0
    """How long an orderly power-off may take."""
    jailed: bool = False
    reshaped: bool = False
    """Something was set that a start takes over."""
    published: bool = False
    """It publishes ports."""
    because: str = ""
    """What stops it, where that is not its owner; a word for its record."""
    already: str = ""
    """Nothing is to be done, and this is why."""


def starting(record: VmRecord, *, timeout: float = 0.0, already: str = "") -> Changed:
    """Spec of a change that starts a machine."""
    reshaped = record.pending is not None and not already
    published = bool(record.publish) and not already
    return Changed(record.id, timeout, record.jailed, reshaped, published, already=already)


def at_rest(record: VmRecord) -> str:
    """Why there is nothing to stop; nothing where there is, or may be."""
    if record.state == "running" or record.handle is not None:
        return ""
    told = {"stopped": "is stopped already", "created": "was never started"}
    return f"{record.name} {told.get(record.state, 'does not run')}"


def boot(parts: Parts, vm_id: str, jailed: bool) -> Sequence[Task]:
    """From what is on disk to an agent that answers."""
    attached: list[Task] = [attaching.AttachDisk(parts, vm_id), attaching.AttachNetwork(parts, vm_id)] if jailed else []
    started = [booting.MakeInitrd(parts, vm_id), booting.Launch(parts, vm_id), booting.AwaitAgent(parts, vm_id)]
    return [*attached, *started]


def kinds(parts: Parts) -> list[Kind]:
    """Every kind of change that this noun has."""

    def create(spec: Spec) -> Sequence[Task]:
        wanted = msgspec.convert(spec, Created)
        record = wanted.record
        if wanted.already:
            return [ending.Already(parts, record.id, wanted.already)]
        made: list[Task] = [
            making.Reserve(parts, record),
            *([publishing.Publish(parts, record.id)] if wanted.start and record.publish else []),
            making.EnsureImage(parts, record.id, tools=wanted.tools),
            making.EnsureKernel(parts, record.id),
            making.MakeDisk(parts, record.id),
            workdisks.MakeWorkDisk(parts, record.id),
        ]
        return [*made, *boot(parts, record.id, record.jailed)] if wanted.start else made

    def start(spec: Spec) -> Sequence[Task]:
        asked = msgspec.convert(spec, Changed)
        if asked.already:
            return [ending.Already(parts, asked.id, asked.already)]
        bound = [publishing.Publish(parts, asked.id)] if asked.published else []
        shaped = [reshaping.Reshape(parts, asked.id)] if asked.reshaped else []
        return [*bound, *shaped, *boot(parts, asked.id, asked.jailed)]

    def stop(spec: Spec) -> list[Task]:
        asked = msgspec.convert(spec, Changed)
        if asked.already:
            return [ending.Already(parts, asked.id, asked.already)]
        return [ending.PowerOff(parts, asked.id, asked.timeout), ending.SwitchOff(parts, asked.id, asked.because)]

    def restart(spec: Spec) -> Sequence[Task]:
        return [*stop(spec), *start(spec)]

    def kill(spec: Spec) -> list[Task]:
        asked = msgspec.convert(spec, Changed)
        if asked.already:
            return [ending.Already(parts, asked.id, asked.already)]
        return [ending.SwitchOff(parts, asked.id)]

    def delete(spec: Spec) -> Sequence[Task]:
        vm_id = msgspec.convert(spec, Changed).id
        return [ending.SwitchOff(parts, vm_id), ending.RemoveFiles(parts, vm_id), ending.Forget(parts, vm_id)]

    return [
        Kind(CREATE, create),
        Kind(START, start),
        Kind(STOP, stop, recovery=Recovery.RESUME),
        Kind(RESTART, restart),
        Kind(SET, lambda spec: reshaping.tasks(parts, spec)),
        Kind(KILL, kill, recovery=Recovery.RESUME, cancellable=False),
        Kind(DELETE, delete, recovery=Recovery.RESUME, cancellable=False),
    ]
