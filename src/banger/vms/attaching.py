"""Tasks that give a machine in a jail what its host has to hold for it: its disk as a device, its place on the network.

Attached for every start, detached after every end; what the guest has written stays in its overlay. Both are found
again by the machine's id and its slot, so that a machine whose task was cut short can be taken apart.
"""

import os

from banger import errors
from banger.disk.roots import strategy
from banger.engine.change import Report
from banger.net.service import Guest
from banger.privileged.operations import RemoveDisk
from banger.vmm.driver import TapNetwork
from banger.vms import roots
from banger.vms.parts import Made, Parts, Step
from banger.vms.record import VmRecord


class AttachDisk(Step):
    """The image and the machine's overlay as one block device."""

    name = "attach-disk"

    def __init__(self, parts: Parts, vm_id: str) -> None:
        super().__init__(parts, vm_id)
        self.resource = Made("block device", strategy.device(vm_id))

    async def do(self, report: Report) -> None:
        report.stage("attaching the disk")
        parts = self.parts
        record = parts.need(self.vm_id)
        await roots.of(parts, record).attach(roots.place(parts, record, report.operation))

    async def undo(self, report: Report) -> None:
        await self.parts.root.perform(RemoveDisk(vm_id=self.vm_id), change=report.operation)


class AttachNetwork(Step):
    """The tap on the bridge, and the rules that say what the guest may reach."""

    name = "attach-network"

    def __init__(self, parts: Parts, vm_id: str) -> None:
        super().__init__(parts, vm_id)
        self.resource = Made("tap", f"of vm {vm_id}")

    async def do(self, report: Report) -> None:
        if self.parts.network is None:
            return
        report.stage("attaching the network")
        cable = await self.parts.network.connect(guest(self.parts.need(self.vm_id)), change=report.operation)
        self.parts.machines.change(self.vm_id, network=TapNetwork(**cable._asdict()))

    async def undo(self, report: Report) -> None:
        record = self.parts.machines.get(self.vm_id)
        if record is not None and self.parts.network is not None:
            await self.parts.network.disconnect(record.slot)


def guest(record: VmRecord) -> Guest:
    """The machine as the network knows it."""
    return Guest(
        slot=record.slot,
        nat=record.nat,
        private=record.private,
        peers=record.peers,
        host=record.host,
        metadata=record.host,
    )


async def detach(parts: Parts, record: VmRecord) -> None:
    """Take both away from a machine whose monitor has ended. Idempotent; neither is left out for the other."""
    try:
        if parts.network is not None:
            await parts.network.disconnect(record.slot)
    finally:
        await parts.root.perform(RemoveDisk(vm_id=record.id))


async def recover(parts: Parts) -> str:
    """Connect the machines that run, as an earlier daemon has left them. Why that failed, else nothing."""
    if parts.network is None or parts.privileged is None or not os.path.isdir(parts.privileged.host.jails):
        return ""
    try:
        await parts.network.recover([guest(each) for each in parts.machines.all() if each.jailed and each.handle])
    except errors.BangerError as failed:
        return failed.message
    return ""
