"""Tasks that make a machine: its row, its image and kernel, its disk.

Undone together, with one exception: a machine that was launched and never answered stays, on record in the state
``error``, for its owner to look at the console (`kept`).
"""

import asyncio
import os
import shutil

import msgspec

from banger import errors
from banger.bootstrap import guest
from banger.disk import lasting
from banger.engine.change import Report
from banger.vms import commands, handles, roots, wanted, workdisks
from banger.vms.parts import Made, Parts, Step
from banger.vms.record import VmRecord


class _Making(Step):
    def kept(self) -> bool:
        """Whether the machine stays although its creation failed."""
        record = self.parts.machines.get(self.vm_id)
        return record is not None and record.state == "error"


class Reserve(_Making):
    """The row, and with it the name."""

    name = "reserve"

    def __init__(self, parts: Parts, record: VmRecord) -> None:
        super().__init__(parts, record.id)
        self.record = record
        self.resource = Made("row", f"vm {record.id}")

    async def do(self, report: Report) -> None:
        report.stage("reserving the name")
        # the slot is chosen in one step with the insertion: no two machines' monitors ever share a user
        machines = self.parts.machines
        machines.insert(msgspec.structs.replace(self.record, slot=machines.free_slot()))

    async def undo(self, report: Report) -> None:
        if not self.kept():
            self.parts.machines.forget(self.vm_id)


class EnsureImage(_Making):
    """The image, pulled when it is missing, with its work seed. Both stay when the machine is undone.

    For a machine that is to have ``tools``, it is told here where they will not come.
    """

    name = "image"

    def __init__(self, parts: Parts, vm_id: str, *, tools: bool = False) -> None:
        super().__init__(parts, vm_id)
        self.tools = tools
        self.resource = Made("work seed", f"of the image of vm {vm_id}")

    async def do(self, report: Report) -> None:
        parts = self.parts
        record = parts.need(self.vm_id)
        report.stage(f"looking for the image {record.image}")
        image = await parts.images.ensure(record.image, report)
        if self.tools and not await parts.images.brings(image, commands.places_of_mise(image.config)):
            report.notice(guest.NO_MISE)
        defaults = parts.settings.vm_defaults
        size = wanted.disk_size(record.disk_size, defaults.disk_size, image.size)
        # in one step with the look-up: from here on the image cannot be deleted
        named = parts.machines.change(self.vm_id, image=image.name, image_id=image.id, disk_size=size)
        if named is not None and not named.worker_of:
            await workdisks.seed(parts, named)
            least = workdisks.least(parts, image.id)
            size = workdisks.size(record.work_disk_size, defaults.work_disk_size, least)
            parts.machines.change(self.vm_id, work_disk_size=size)


class EnsureKernel(_Making):
    """The kernel that was asked for, or the image's, or the default; pulled when a catalog has it. It stays."""

    name = "kernel"

    async def do(self, report: Report) -> None:
        report.stage("looking for the kernel")
        record = self.parts.need(self.vm_id)
        wanted = record.kernel or self.parts.images.get(record.image_id).kernel
        kernel = await self.parts.kernels.ensure(wanted, report)
        self.parts.machines.change(self.vm_id, kernel=kernel.name)


class MakeDisk(_Making):
    """The machine's directory, and in it the file that takes all it writes."""

    name = "disk"

    def __init__(self, parts: Parts, vm_id: str) -> None:
        super().__init__(parts, vm_id)
        self.directory = parts.paths.vm(vm_id)
        self.resource = Made("directory", self.directory)

    async def do(self, report: Report) -> None:
        report.stage("making the disk")
        record = self.parts.need(self.vm_id)
        try:
            os.makedirs(self.directory, mode=0o700)
            strategy = await roots.choose(self.parts, record)
            await handles.kept(self.parts.paths, self.parts.machines.change(self.vm_id, root=strategy.name))
            await lasting.synced(self.parts.paths.vms)
            await strategy.make(roots.place(self.parts, record))
            uid = self.parts.uid(record)
            if uid is not None:  # its monitor may find the disk and write to it, and make nothing beside it
                for name in set(os.listdir(self.directory)) - {handles.NAME}:
                    await lasting.given(os.path.join(self.directory, name), uid, durable=not record.ephemeral)
                os.chown(self.directory, -1, uid)
                os.chmod(self.directory, 0o710)  # noqa: S103 - for its own monitor
        except OSError as error:
            raise errors.from_os(error, self.directory) from error

    async def undo(self, report: Report) -> None:
        if not self.kept():
            await handles.settled(self.parts.paths, self.vm_id)
            await asyncio.to_thread(shutil.rmtree, self.directory, ignore_errors=True)
