"""A machine in Firecracker's words: pure data, nothing is opened or run here.

Paths are those that the monitor sees in its jail. The guest's disks are those of the list, in its order: their serials
are Firecracker's own choice, so that the guest is told the devices.
"""

from collections.abc import Iterator

from banger import errors
from banger.disk.roots.strategy import device, work_device
from banger.vmm.cmdline import COMMON
from banger.vmm.driver import Drive, LaunchSpec, TapNetwork
from banger.vmm.firecracker import vsock
from banger.vmm.firecracker.resources import (
    Action,
    Balloon,
    BlockDevice,
    BootSource,
    Entropy,
    Logger,
    MachineConfig,
    Metrics,
    NetworkInterface,
    Request,
    Vsock,
)  # fmt: skip

KERNEL, INITRD = "/vmlinux", "/initrd"
VSOCK = "/run/vsock.sock"
METRICS = "/run/metrics"
"""A pipe that nobody has to read: it holds so much and no more. `metrics` takes the latest out of it."""

VCPU_LIMIT = 32
MEMORY_LEAST = 32 << 20
STATISTICS_SECONDS = 30

CMDLINE = (
    *COMMON,
    "reboot=k",  # the keyboard controller's reset line: Firecracker's one way to end
    "pci=off",
    "i8042.noaux",
    "i8042.nomux",
    "i8042.nopnp",
    "i8042.dumbkbd",  # of the controller, that line is all there is: looking for a keyboard takes long
    "banger.port=vsock",
    "banger.off=reset",
)

_DISK_WORDS = ("banger.root=", "banger.work=", "banger.modules=")


def check(spec: LaunchSpec) -> None:
    """What Firecracker would refuse late or badly. Raises `errors.VmmFailed`."""
    if not 1 <= spec.vcpus <= VCPU_LIMIT:
        reason = f"Firecracker gives a machine 1 to {VCPU_LIMIT} virtual processors, not {spec.vcpus}"
        raise errors.VmmFailed(reason=reason, name=spec.vm_id)
    if spec.memory < MEMORY_LEAST:
        raise errors.VmmFailed(reason=f"{spec.memory} bytes of memory are too little for a kernel", name=spec.vm_id)
    if spec.network is not None and not isinstance(spec.network, TapNetwork):
        raise errors.VmmFailed(reason="Firecracker has no network of its own: it needs a tap", name=spec.vm_id)
    for drive in spec.drives:
        fault = _fault(drive, spec.vm_id)
        if fault is not None:
            raise errors.VmmFailed(reason=f"{drive.path} {fault}", name=spec.vm_id)


def _fault(drive: Drive, vm_id: str) -> str | None:
    if drive.format != "raw":
        return f"has the format {drive.format}, which Firecracker does not know"
    if is_device(drive):
        own = work_device(vm_id) if drive.serial == "work" else device(vm_id)
        return None if drive.path == own else f"is not this machine's device, {own}"
    return None if drive.read_only else "is a file: what a machine in a jail writes to is its own device"


def is_device(drive: Drive) -> bool:
    return drive.path.startswith("/dev/")


def path_inside(drive: Drive) -> str:
    """Where the monitor finds a drive."""
    return f"/{drive.serial}"


def node(number: int) -> str:
    """The guest's device of the drive with that place in the list."""
    return f"/dev/vd{chr(ord('a') + number)}"


def cmdline(spec: LaunchSpec) -> list[str]:
    """The kernel's command line: ours for this machine type, then the caller's with devices in place of serials."""
    nodes = {drive.serial: node(number) for number, drive in enumerate(spec.drives)}
    words = list(CMDLINE)
    for word in spec.cmdline:
        name, equals, value = word.partition("=")
        words.append(f"{name}={nodes[value]}" if name + equals in _DISK_WORDS and value in nodes else word)
    return words


def requests(spec: LaunchSpec) -> Iterator[Request]:
    """All that is said to a fresh Firecracker, the last of which starts the guest.

    Its log goes where its output goes, the console file. What it says of each of our requests is not worth a line
    there; how it ends is.
    """
    yield Logger(level="Warning")
    yield Metrics(metrics_path=METRICS)
    yield MachineConfig(vcpu_count=spec.vcpus, mem_size_mib=spec.memory >> 20)
    yield BootSource(kernel_image_path=KERNEL, initrd_path=INITRD, boot_args=" ".join(cmdline(spec)))
    for drive in spec.drives:
        yield BlockDevice(
            drive_id=drive.serial,
            is_root_device=False,  # the kernel mounts nothing: the guest's loader does
            path_on_host=path_inside(drive),
            is_read_only=drive.read_only,
            cache_type="Writeback" if drive.durable and not drive.read_only else "Unsafe",
        )
    if isinstance(spec.network, TapNetwork):
        yield NetworkInterface(iface_id="eth0", host_dev_name=spec.network.tap, guest_mac=spec.network.mac)
    yield Vsock(guest_cid=vsock.GUEST_CID, uds_path=VSOCK)
    yield Entropy()
    yield Balloon(amount_mib=0, deflate_on_oom=True, stats_polling_interval_s=STATISTICS_SECONDS)
    yield Logger(level="Info")
    yield Action(action_type="InstanceStart")
