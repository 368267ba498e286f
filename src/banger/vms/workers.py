"""Machines that another change makes for itself: workers.

A worker is a machine like any other, made, started, ended and removed by the same tasks; only that they stand in the
list of somebody else's change, which undoes them with its own. Its record names that change's subject. Three things
follow: nobody else may touch it, it boots no init of its image (the agent is its process 1, so that no service runs
and writes), and one whose change is gone is removed.
"""

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from banger.admission.judgement import Wish
from banger.api.vm import CreateVm
from banger.disk.roots.files import QCOW2, RAW
from banger.engine.change import Task
from banger.guest.channel import Channel
from banger.images.record import ImageRecord
from banger.vms import claims, ending, making, plans, roots
from banger.vms.parts import Parts
from banger.vms.record import VmRecord

Decide = Callable[[CreateVm], Awaitable[VmRecord]]


class Workers:
    """What other rooms need of machines. Tasks are returned in their order; their names are unique among them."""

    def __init__(self, parts: Parts, decide: Decide) -> None:
        self._parts = parts
        self._decide = decide

    async def decide(self, request: CreateVm, subject_id: str) -> VmRecord:
        """The record of a worker of the change with that subject. Raises as `VmService.create`."""
        return replace(await self._decide(request), ephemeral=True, worker_of=subject_id, nat=True, work_disk_size=0)

    def wish(self, record: VmRecord) -> Wish:
        """What a worker takes, for the change that it works for to be judged with."""
        return claims.starting(self._parts, record)

    def reserving(self, record: VmRecord) -> Sequence[Task]:
        """The row and the image, which nobody can delete from here on."""
        return [making.Reserve(self._parts, record), making.EnsureImage(self._parts, record.id)]

    def starting(self, record: VmRecord) -> Sequence[Task]:
        """The machine, until its agent answers."""
        parts = self._parts
        made = [making.EnsureKernel(parts, record.id), making.MakeDisk(parts, record.id)]
        return [*made, *plans.boot(parts, record.id, record.jailed)]

    def ending(self, vm_id: str, timeout: float) -> Sequence[Task]:
        """Power-off in order; the disk stays."""
        return [ending.PowerOff(self._parts, vm_id, timeout), ending.SwitchOff(self._parts, vm_id)]

    def removing(self, vm_id: str) -> Sequence[Task]:
        """The disk and the row."""
        return [ending.RemoveFiles(self._parts, vm_id), ending.Forget(self._parts, vm_id)]

    async def channel(self, vm_id: str) -> Channel:
        """The attachment to a worker's agent. Raises `errors.GuestSilent`, `errors.AgentLost`."""
        return await self._parts.connections.get(self._parts.need(vm_id))

    def image(self, vm_id: str) -> ImageRecord:
        """The image that a worker is made of."""
        return self._parts.images.get(self._parts.need(vm_id).image_id)

    def assets(self, vm_id: str) -> str:
        """Digest of the guest assets that a worker's disk has by now."""
        return self._parts.need(vm_id).assets or self.image(vm_id).assets

    def disk(self, vm_id: str) -> "Disk":
        """What a worker has written, and over what."""
        parts = self._parts
        record, directory = parts.need(vm_id), parts.paths.vm(vm_id)
        if roots.kind(record) == "qcow2":
            return Disk(os.path.join(directory, QCOW2), parts.images.rootfs(self.image(vm_id)), record.disk_size)
        return Disk(os.path.join(directory, RAW), None, record.disk_size)


class Disk(NamedTuple):
    """An overlay with the raw file below it, or a raw file alone; and the size that it was made with."""

    path: str
    backing: str | None
    size: int
