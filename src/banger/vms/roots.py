"""Which way a machine's own writable root is made, and where it lies: the strategies of `banger.disk.roots`, by record.

The choice is made once, when the machine's disk is made, and is on record from then on (`VmRecord.root`): a setting
that changes later is for machines to come. A machine that a change makes for itself has a file whose content can become
an image: qcow2, or raw where its monitor is in a jail.
"""

import os

from banger.disk.roots import strategy
from banger.disk.roots.all import for_devices, for_files
from banger.disk.roots.files import QCOW2, RAW
from banger.disk.roots.strategy import Place, Strategy
from banger.images.record import ImageRecord, rootfs_path
from banger.paths import Paths
from banger.vmm.driver import Drive
from banger.vms import workdisks
from banger.vms.parts import Parts
from banger.vms.record import VmRecord


async def choose(parts: Parts, record: VmRecord) -> Strategy:
    """For a machine whose disk is yet to be made. Raises `errors.RootStrategyUnavailable`."""
    paths = parts.paths
    possible, forced = _possible(parts, record), parts.settings.root_strategy
    if record.worker_of:
        possible, forced = [each for each in possible if each.name != "snapshot"], "auto"
    for each in possible:  # no further than to the first: what some of them try costs more than all the rest
        if forced in ("auto", each.name) and await each.unavailable(paths.images, paths.vms) is None:
            return each
    return strategy.choose(await strategy.judge(possible, paths.images, paths.vms), forced)


def of(parts: Parts, record: VmRecord) -> Strategy:
    """Of a machine that has a disk."""
    return next(each for each in _possible(parts, record) if each.name == kind(record))


def kind(record: VmRecord) -> str:
    """The name of the machine's strategy."""
    return record.root or ("snapshot" if record.jailed else "qcow2")


def place(parts: Parts, record: VmRecord, change: str = "") -> Place:
    """Where the machine's part lies, and over what."""
    base = parts.images.rootfs(parts.images.usable(record.image_id))
    work = workdisks.path(parts.paths, record.id) if record.work_disk_size else ""
    directory, durable = parts.paths.vm(record.id), not record.ephemeral
    return Place(record.id, directory, base, record.disk_size, change, work, durable)


def drive(record: VmRecord, image: ImageRecord, paths: Paths) -> Drive:
    """What a monitor is told."""
    durable = not record.ephemeral  # a host that crashed has no use for the disk of a machine that is deleted
    directory = paths.vm(record.id)
    if record.jailed:
        return Drive(serial="root", path=strategy.device(record.id), format="raw", durable=durable)
    if kind(record) == "qcow2":
        path, backing = os.path.join(directory, QCOW2), rootfs_path(image, paths)
        return Drive(serial="root", path=path, format="qcow2", backing=backing, durable=durable)
    return Drive(serial="root", path=os.path.join(directory, RAW), format="raw", durable=durable)


def _possible(parts: Parts, record: VmRecord) -> list[Strategy]:
    return for_devices(parts.privileged) if record.jailed else for_files()
