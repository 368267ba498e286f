"""Changing what a machine is: processors, memory, its disks' sizes, what its network reaches, what it publishes.

A monitor is started with its processors, memory and disks, so these wait on record (`VmRecord.pending`) for the next
start, which takes them over (`Reshape`). What the network lets through changes at once, and so do published ports.
"""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from banger import errors
from banger.api.vm import PendingVm, SetVm
from banger.config.sizes import format_size
from banger.disk import grow
from banger.engine.change import Report, Spec, Task
from banger.vmm.driver import UserNetwork
from banger.vms import attaching, handles, published, publishing, roots, wanted, workdisks
from banger.vms.parts import Parts, Step
from banger.vms.published import Published
from banger.vms.record import VmRecord, shape

SET = "vm.set"


class Form(msgspec.Struct, frozen=True):
    """The fields of a record that can be set."""

    pending: PendingVm | None
    nat: bool
    peers: bool
    publish: tuple[Published, ...] = ()


class Reformed(msgspec.Struct, frozen=True):
    """Spec of ``vm.set``: everything that it changes, before and after."""

    id: str
    before: Form
    after: Form
    told: str = ""
    """What the user should know in passing."""


def decide(record: VmRecord, request: SetVm) -> Reformed:
    """What is asked for, checked. Raises `errors.UsageError`; a disk never becomes smaller."""
    if request == SetVm():
        raise errors.UsageError(detail="say what is to change: processors, memory, disks, network or published ports")
    if isinstance(record.network, UserNetwork) and (request.nat is False or request.peers):
        raise errors.UsageError(
            detail=f"{record.name!r} has a user-mode network: it always reaches the outside, and never other machines"
        )
    before = Form(record.pending, record.nat, record.peers, record.publish)
    pending = record.pending or PendingVm()
    asked = {
        "vcpu": None if request.vcpu is None else wanted.vcpu(request.vcpu),
        "memory": None if request.memory is None else wanted.memory(request.memory),
        "disk_size": None if request.disk_size is None else _larger(record, "disk_size", request.disk_size),
        "work_disk_size": None
        if request.work_disk_size is None
        else _larger(record, "work_disk_size", request.work_disk_size),
    }
    pending = replace(pending, **{name: value for name, value in asked.items() if value is not None})
    changed = {name: value for name, value in msgspec.structs.asdict(pending).items() if value != getattr(record, name)}
    after = Form(
        PendingVm(**changed) if any(changed.values()) else None,
        record.nat if request.nat is None else request.nat,
        record.peers if request.peers is None else request.peers,
        published.read(request.publish, published.without(record.publish, request.unpublish)),
    )
    waits = record.state == "running" and after.pending is not None and after.pending != before.pending
    told = f"{record.name} runs on as it is; its new size counts from its next start" if waits else ""
    return Reformed(record.id, before, after, told)


def _larger(record: VmRecord, which: str, asked: int) -> int:
    size, present = wanted.disk(asked), getattr(record, which)
    if size < present:
        raise errors.UsageError(detail=f"a disk can grow, and never shrink: {record.name!r} has {format_size(present)}")
    return int(size)


def tasks(parts: Parts, spec: Spec) -> Sequence[Task]:
    """The tasks of ``vm.set``."""
    asked = msgspec.convert(spec, Reformed)
    rerouted = (asked.before.nat, asked.before.peers) != (asked.after.nat, asked.after.peers)
    before, after = asked.before.publish, asked.after.publish
    return [
        Rewrite(parts, asked),
        *([Reroute(parts, asked)] if rerouted else []),
        *([publishing.Republish(parts, asked.id, before, after)] if before != after else []),
    ]


class Rewrite(Step):
    """The row."""

    name = "row"

    def __init__(self, parts: Parts, asked: Reformed) -> None:
        super().__init__(parts, asked.id)
        self.asked = asked

    async def do(self, report: Report) -> None:
        await self._write(self.asked.after)
        if self.asked.told:
            report.notice(self.asked.told)

    async def undo(self, report: Report) -> None:
        await self._write(self.asked.before)

    async def _write(self, form: Form) -> None:
        facts = msgspec.structs.asdict(form)
        changed = self.parts.machines.change(self.vm_id, **facts)
        await handles.kept(self.parts.paths, changed)


class Reroute(Step):
    """What the network of a machine that runs lets through; one that does not run gets it with its next start."""

    name = "network"

    def __init__(self, parts: Parts, asked: Reformed) -> None:
        super().__init__(parts, asked.id)
        self.asked = asked

    async def do(self, report: Report) -> None:
        await self._apply(self.asked.after, report)

    async def undo(self, report: Report) -> None:
        await self._apply(self.asked.before, report)

    async def _apply(self, form: Form, report: Report) -> None:
        record = self.parts.machines.get(self.vm_id)
        if record is not None and record.handle is not None and self.parts.network is not None:
            report.stage("changing what the network lets through")
            await self.parts.network.change(attaching.guest(replace(record, nat=form.nat, peers=form.peers)))


class Reshape(Step):
    """What was set since the last start becomes the machine's own, its disks' files first.

    Not undone: whether this start succeeds or not, that is the machine from now on.
    """

    name = "shape"

    async def do(self, report: Report) -> None:
        parts = self.parts
        record = parts.need(self.vm_id)
        if record.pending is None:
            return
        shaped = shape(record)
        if shaped.disk_size > record.disk_size:
            report.stage("making the disk larger")
            await roots.of(parts, record).grow(roots.place(parts, shaped, report.operation))
        if shaped.work_disk_size > record.work_disk_size:
            report.stage("making the work disk larger")
            file = workdisks.path(parts.paths, record.id)
            await grow.raw(file, shaped.work_disk_size, durable=not record.ephemeral)
        facts = {name: getattr(shaped, name) for name in ("vcpu", "memory", "disk_size", "work_disk_size")}
        # the second record too: a machine that is found by it must know how large its disk is
        await handles.kept(parts.paths, parts.machines.change(self.vm_id, pending=None, **facts))
