"""Tasks that give a running machine what its host has to hold for it: its disk as a device, its tap and its rules.

Needed where the driver keeps monitors in jails. Attached for every start and detached after every end; what the guest
has written stays in its overlay. Both are found again by the machine's id alone, so that a machine whose record is
damaged can still be taken apart.
"""

from banger.engine.change import Report
from banger.privileged.operations import RemoveDisk
from banger.vms import roots
from banger.vms.parts import Made, Parts, Step


class AttachDisk(Step):
    """The image and the machine's overlay as one block device."""

    name = "attach-disk"

    def __init__(self, parts: Parts, vm_id: str) -> None:
        super().__init__(parts, vm_id)
        self.resource = Made("block device", roots.device(vm_id))

    async def do(self, report: Report) -> None:
        report.stage("attaching the disk")
        parts = self.parts
        record = parts.need(self.vm_id)
        await roots.of(parts, record).attach(roots.place(parts, record, report.operation))

    async def undo(self, report: Report) -> None:
        await detach_disk(self.parts, self.vm_id)


async def detach_disk(parts: Parts, vm_id: str) -> None:
    """Idempotent; the overlay stays."""
    await parts.root.perform(RemoveDisk(vm_id=vm_id))
