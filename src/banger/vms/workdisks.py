"""Machines' work disks (`banger.disk.work_disk`), by record: what they begin as, how large, what a monitor is told.

A machine has one from its creation to its end, so that what lies on ``/root`` is apart from the system that can be made
anew. Its size is on record (`VmRecord.work_disk_size`); 0 is a machine without: one that a change makes for itself,
whose ``/root`` is to be in the image that it becomes.
"""

import os

from banger import errors
from banger.config.sizes import format_size
from banger.disk import lasting, work_disk
from banger.disk.roots import strategy
from banger.engine.change import Report
from banger.images import seeds
from banger.paths import Paths
from banger.vmm.driver import Drive
from banger.vms.parts import Made, Parts, Step
from banger.vms.record import VmRecord


def path(paths: Paths, vm_id: str) -> str:
    return os.path.join(paths.vm(vm_id), work_disk.NAME)


async def seed(parts: Parts, record: VmRecord) -> str | None:
    """The file that a machine's work disk begins as; None where its image can have none."""
    try:
        return await parts.images.work_seed(record.image_id)
    except errors.UnusableDisk:
        return None


def least(parts: Parts, image_id: str) -> int:
    """How large a work disk of machines of that image has to be, as far as is known before its seed is made."""
    note = seeds.noted(parts.paths.image(image_id))
    return work_disk.LEAST if note is None else note.least


def size(asked: int, default: int, least: int) -> int:
    """The size of a work disk that begins with ``least`` bytes. Raises `errors.UsageError`."""
    if asked and asked < least:
        raise errors.UsageError(
            detail=f"a work disk of {format_size(asked)} is too small: what the image has on /root needs "
            f"{format_size(least)}"
        )
    return asked or -(-max(default, least) // 4096) * 4096


def drive(record: VmRecord, paths: Paths) -> Drive | None:
    """What a monitor is told, where there is a work disk."""
    if not record.work_disk_size:
        return None
    place = strategy.work_device(record.id) if record.jailed else path(paths, record.id)
    return Drive(serial="work", path=place, format="raw", durable=not record.ephemeral)


def check(parts: Parts, record: VmRecord, report: Report) -> None:
    """Before a start: whether the guest's kernel will mount it. Raises `errors.UnusableDisk`."""
    if not record.work_disk_size:
        return
    try:
        marked = work_disk.check(path(parts.paths, record.id), record.work_disk_size)
    except errors.UnusableDisk as damaged:
        damaged.advise(
            f"it is left as it is; a copy of it can be examined in another machine, 'banger vm delete {record.name}' "
            "removes it with its machine"
        )
        raise
    if marked:
        report.notice("the guest's kernel has found errors on the work disk: save what is on /root")


class MakeWorkDisk(Step):
    """The file that the guest has on /root. It stays with a machine that is kept although its creation failed."""

    name = "work-disk"

    def __init__(self, parts: Parts, vm_id: str) -> None:
        super().__init__(parts, vm_id)
        self.path = path(parts.paths, vm_id)
        self.resource = Made("file", self.path)

    async def do(self, report: Report) -> None:
        report.stage("making the work disk")
        record = self.parts.need(self.vm_id)
        fill = await self._fill(record, report)
        await work_disk.make(self.path, fill, record.work_disk_size, durable=not record.ephemeral)
        uid = self.parts.uid(record)
        if uid is not None:
            await lasting.given(self.path, uid, durable=not record.ephemeral)

    async def _fill(self, record: VmRecord, report: Report) -> work_disk.Fill:
        begin, size = await seed(self.parts, record), record.work_disk_size
        if begin is None:
            report.notice("/root begins empty, since the image's own cannot be read")
            return work_disk.empty(size)
        if os.path.getsize(begin) > size:
            return lambda path: self.parts.images.write_home(record.image_id, path, size)
        return work_disk.clone(begin)

    async def undo(self, report: Report) -> None:
        record = self.parts.machines.get(self.vm_id)
        if record is None or record.state != "error":
            work_disk.remove(self.path)
