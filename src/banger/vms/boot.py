"""What a monitor is told about a machine: pure data, made from the record, the image and the kernel."""

import os
import re

from banger.config.settings import Config
from banger.images.record import ImageRecord
from banger.kernels import kernel as kernels
from banger.paths import Paths
from banger.vmm.driver import Drive, LaunchSpec, Limits, Network
from banger.vms import roots, workdisks
from banger.vms.record import VmRecord

_PLAIN = re.compile(r"/[A-Za-z0-9._/-]{1,200}")
"""An init that can be a word of a command line; whatever else an image brings is left alone."""

INITRD, CONSOLE = "initrd.cpio", "console.log"


def command_line(record: VmRecord, image: ImageRecord, modules: bool) -> tuple[str, ...]:
    """The words of the guest's loader. No value holds a blank: names and addresses follow closed grammars."""
    words = ["banger.root=root", f"banger.hostname={record.name}"]
    if modules:
        words.append("banger.modules=modules")
    if image.init is not None and not record.worker_of and _PLAIN.fullmatch(image.init):
        words.append(f"banger.init={image.init}")
        # Nobody types at the console. Without udev, systemd would wait 90 s for its device before giving up.
        words.append("systemd.mask=serial-getty@ttyS0.service")
    if record.work_disk_size:
        words.append("banger.work=work")
    if record.disk_size > image.size:
        words.append("banger.grow=1")
    if record.network is not None:
        words.append(f"banger.net={network_word(record.network)}")
    return tuple(words)


def network_word(network: Network) -> str:
    """Address with prefix length, and gateway."""
    return f"{network.address},{network.gateway}"


def limits(settings: Config) -> Limits:
    """What the settings let each machine have."""
    return Limits(io_bytes=settings.disk_bytes_per_second, io_operations=settings.disk_operations_per_second)


def launch_spec(
    record: VmRecord, image: ImageRecord, kernel: kernels.Kernel, paths: Paths, uid: int | None, limits: Limits
) -> LaunchSpec:
    """Everything that the driver needs, from files that exist by now."""
    directory, kernel_directory = paths.vm(record.id), paths.kernel(kernel.name)
    work = workdisks.drive(record, paths)
    drives = [roots.drive(record, image, paths), *([] if work is None else [work])]
    modules = kernels.MODULES in kernel.files
    if modules:
        path = os.path.join(kernel_directory, kernels.MODULES)
        drives.append(Drive(serial="modules", path=path, format="raw", read_only=True))
    return LaunchSpec(
        vm_id=record.id,
        directory=directory,
        runtime=paths.vm_runtime(record.id),
        kernel=os.path.join(kernel_directory, kernels.VMLINUX),
        initrd=os.path.join(directory, INITRD),
        cmdline=command_line(record, image, modules),
        vcpus=record.vcpu,
        memory=record.memory,
        drives=tuple(drives),
        network=record.network,
        uid=uid,
        slot=record.slot,
        limits=limits,
    )
