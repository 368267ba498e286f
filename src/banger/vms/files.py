"""The files that make an image one particular machine, as data.

They reach the guest in its initrd; the loader copies them onto the root before anything of the image has run. They
are given until a first start has succeeded: from then on they belong to the guest, which may have changed them.

The guest assets (`banger.guest.assets`) are in the image already. A machine whose root carries others than this host's
gets these at its next start, by the same way; no start fails for want of them.
"""

from banger.disk.guest_file import GuestFile
from banger.guest.assets import Assets
from banger.images.record import ImageRecord
from banger.kernels import initrd
from banger.vmm.driver import Network
from banger.vms.record import VmRecord


def archive_of_start(record: VmRecord, image: ImageRecord, today: Assets) -> bytes:
    """What the next start of a machine has to bring along, for its initrd."""
    init = None if record.worker_of else image.init
    files = machine_files(record.name, record.network, init) if record.started is None else []
    archive = initrd.machine_archive(files)
    if (record.assets or image.assets) != today.digest:
        archive += initrd.machine_archive(today.files, initrd.ASSETS)
    return archive


def machine_files(name: str, network: Network | None, init: str | None) -> list[GuestFile]:
    """Host name, name resolution, and where systemd is the init an empty machine id, so that it makes one."""
    files = [
        GuestFile("/etc/hostname", f"{name}\n".encode()),
        GuestFile("/etc/hosts", _hosts(name)),
    ]
    if network is not None:
        # a regular file also where the image has a link into /run, which nothing in the guest would fill
        files.append(GuestFile("/etc/resolv.conf", f"nameserver {network.dns}\n".encode()))
    if init is not None:
        files.append(GuestFile("/etc/machine-id", b""))
    return files


def _hosts(name: str) -> bytes:
    return (
        "127.0.0.1 localhost\n"
        f"127.0.1.1 {name}\n"
        "::1 localhost ip6-localhost ip6-loopback\n"
        "ff02::1 ip6-allnodes\n"
        "ff02::2 ip6-allrouters\n"
    ).encode()
