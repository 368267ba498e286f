"""The files that make an image one particular machine, as data.

They reach the guest in its initrd; the loader copies them onto the root before anything of the image has run. They
are given until a first start has succeeded: from then on they belong to the guest, which may have changed them. Those
for ssh go to every machine of somebody's own, whatever its image has: an sshd that is installed later finds them.

The guest assets (`banger.guest.assets`) are in the image already. A machine whose root carries others than this host's
gets these at its next start, by the same way; no start fails for want of them.
"""

from typing import NamedTuple

from banger import errors
from banger.disk import edit
from banger.disk.guest_file import Directory, GuestFile
from banger.guest.assets import Assets
from banger.images.record import ImageRecord
from banger.kernels import initrd
from banger.ssh import host_keys
from banger.ssh.host_keys import HostKey
from banger.vmm.driver import Network
from banger.vms.given import Given
from banger.vms.record import VmRecord

FSTAB_LIMIT = 16 << 10

_TMPFS = (("/run", "mode=0755,nosuid,nodev"), ("/tmp", "mode=1777,nosuid,nodev"))  # noqa: S108 - in the guest
_DROPPED = ("/", "/home", "/var", "none", "swap", *(place for place, _ in _TMPFS))
_DEVICES = ("/dev/", "UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=", "ID=")

AUTHORIZED = "/etc/ssh/banger_authorized_keys"
"""Lets the installation's key in as any user; root has it on the work disk as well (`banger.images.seeds`)."""

_SSHD = f"""\
# banger: root comes in by key, nobody by password
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitEmptyPasswords no
AuthorizedKeysFile .ssh/authorized_keys {AUTHORIZED}
"""


class Ssh(NamedTuple):
    """What a machine's sshd is given."""

    host_key: HostKey | None
    allowed: str
    """A line of authorized_keys, empty for none."""


def wants_host_key(record: VmRecord) -> bool:
    """Whether the next start brings one: the first does, and one of a machine that has none yet."""
    return not record.worker_of and (record.started is None or not record.host_key)


async def archive_of_start(
    record: VmRecord,
    image: ImageRecord,
    rootfs: str,
    today: Assets,
    ssh: Ssh | None = None,
    given: Given | None = None,
) -> bytes:
    """What the next start of a machine has to bring along, for its initrd. ``rootfs`` is the image's file system.

    Raises `errors.UnusableDisk`.
    """
    init = None if record.worker_of else image.init
    files: list[GuestFile | Directory] = []
    if record.started is None:
        files += machine_files(record.name, record.network, init)
        if init is not None:
            files.append(GuestFile("/etc/fstab", own_fstab(await _fstab(rootfs))))
    if ssh is not None:
        files += ssh_files(ssh)
    news = given is not None and given.digest != record.given
    if news and given is not None:
        files += given.files
    archive = initrd.machine_archive(files)
    if news and given is not None and given.defaults:
        archive += initrd.machine_archive(given.defaults, initrd.DEFAULTS)
    if (record.assets or image.assets) != today.digest:
        archive += initrd.machine_archive(today.files, initrd.ASSETS)
    return archive


async def _fstab(rootfs: str) -> bytes:
    try:
        return await edit.read(rootfs, "/etc/fstab", FSTAB_LIMIT)
    except errors.NoSuchPath:
        return b""


def ssh_files(ssh: Ssh) -> list[GuestFile]:
    """How a machine's sshd proves what it is, and how it lets people in."""
    said, files = _SSHD, []
    if ssh.host_key is not None:
        said += f"HostKey {host_keys.PRIVATE}\n"
        files.append(GuestFile(host_keys.PRIVATE, ssh.host_key.private, 0o600))
        files.append(GuestFile(host_keys.PUBLIC, f"{ssh.host_key.public}\n".encode()))
    if ssh.allowed:
        files.append(GuestFile(AUTHORIZED, f"{ssh.allowed}\n".encode()))
    return [*files, GuestFile("/etc/ssh/sshd_config.d/99-banger.conf", said.encode())]


def own_fstab(fstab: bytes) -> bytes:
    """The image's fstab(5) without what no machine has: other disks, for which a boot would wait, and separate /home
    and /var. /run and /tmp are in memory."""
    kept = []
    for line in fstab.splitlines():
        words = line.decode("utf-8", "surrogateescape").split()
        if len(words) >= 2 and not words[0].startswith("#"):
            place = words[1].rstrip("/") or "/"
            if place in _DROPPED or words[0].startswith(_DEVICES):
                continue
        kept.append(line)
    own = [f"tmpfs {place} tmpfs {options} 0 0".encode() for place, options in _TMPFS]
    return b"\n".join([*kept, *own, b""])


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
