"""The host's disk and kernel: a Debian with systemd and what a host for machines needs, and Debian's cloud kernel.

The root file system is made by the project's own builder of Debian images and its own ext4 writer, so a plain user
with subordinate ids can make it; packages come from wherever this host's apt gets them. It is an honest Debian: what
runs on one by default runs on this one, but for services that the packages below would start and no test wants. All of
an installation but banger is there: Firecracker, its jailer, and /opt/banger, an environment with what banger needs.

The kernel is the one that machines get. Its loader mounts the root and the modules' image, and leaves the guest agent
on its port before systemd starts: that is how commands get into the box.

On disk: ``root.ext4`` (sparse), ``report.json``; for the kernel the files of `banger.kernels.kernel`.
"""

import asyncio
import json
import shlex
from pathlib import Path

from banger.guest.assets import agent_path
from banger.kernels import kernel
from banger.oci import debian
from banger.oci.build import LayerSource, build_image
from tests.guest_images import Tar
from tests.home import TREE
from tests.kept import key
from tests.smoke.host.inputs import inputs_key

PACKAGES = (
    "systemd", "systemd-sysv", "systemd-resolved", "libnss-resolve", "libpam-systemd", "udev", "dbus", "kmod", "procps",
    "util-linux", "python3", "python3-venv", "sudo", "ca-certificates", "curl", "git", "jq", "strace", "attr",
    "iproute2", "iputils-ping", "nftables", "bind9-dnsutils", "openssh-server", "openssh-client",
    "dmsetup", "lvm2", "e2fsprogs", "btrfs-progs", "xfsprogs", "qemu-utils", "uidmap", "skopeo", "docker-registry",
    "busybox-static", "mmdebstrap",
)  # fmt: skip
"""What the host has: all that doctor asks for but QEMU, since machines there run on KVM."""

SIZE = 16 << 30
"""Of the root file system; sparse."""

OWNER, OTHER = "owner", "other"
"""Two plain users: the one for whom banger is installed, and one for whom it is not."""

MODULES = ("kvm-amd", "loop", "tun", "dm-snapshot", "vhost_vsock", "nf_tables")
"""Loaded at boot, as a host's own configuration would."""

SETUP = f"""\
useradd --create-home --shell /bin/bash --uid 1000 {OWNER}
useradd --create-home --shell /bin/bash --uid 1001 {OTHER}
systemctl disable docker-registry.service ssh.service e2scrub_reap.service
systemctl mask systemd-networkd-wait-online.service
chown -R root: /opt/wheels
chmod 755 /usr/local/bin/firecracker /usr/local/bin/jailer
chown root: /usr/local/bin/firecracker /usr/local/bin/jailer
python3 -m venv /opt/banger
/opt/banger/bin/pip install --quiet --no-index --no-deps --no-cache-dir /opt/wheels/*.whl
rm -rf /opt/wheels /root/.cache
rm -rf /var/cache/apt/* /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/*
"""

FILES = {
    "etc/hostname": "box\n",
    "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 box\n::1 localhost ip6-localhost\n",
    "etc/modules-load.d/host.conf": "".join(f"{each}\n" for each in MODULES),
    "etc/modprobe.d/host.conf": "options kvm_amd nested=0\n",
    "etc/systemd/journald.conf.d/host.conf": "[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\n",
    "etc/fstab": "/dev/vda / ext4 defaults,noatime 0 0\n",
    "etc/profile.d/host.sh": "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
}
"""Path -> text of what the host's administrator would have written."""


def root_key() -> str:
    """What decides the content of the disk."""
    return key(Path(__file__), Path(debian.__file__), inputs_key())


def kernel_key() -> str:
    """What decides the files of the kernel."""
    sources = sorted((TREE / "src/banger/kernels").glob("*.py"))
    return key(*sources, Path(agent_path()))


def make_root(directory: Path, inputs: Path) -> None:
    """The disk, in ``directory``; what is installed in it comes from ``inputs``."""
    archive, settings, output = directory / "root.tar", directory / "settings.tar", directory / "root.ext4"
    programs = " ".join(shlex.quote(str(each)) for each in (inputs / "bin").iterdir())
    hooks = [
        f"copy-in {shlex.quote(str(inputs / 'wheels'))} /opt",
        f"copy-in {programs} /usr/local/bin",
        f'chroot "$1" /bin/sh -euc {shlex.quote(SETUP)}',
    ]
    asyncio.run(debian.build_rootfs_tar("bookworm", PACKAGES, str(archive), hooks=hooks))
    settings.write_bytes(_settings())
    layers = [LayerSource(str(each), each.name) for each in (archive, settings)]
    report = build_image(layers, str(output), size=SIZE, seed=root_key())
    (directory / "report.json").write_text(json.dumps({"init": report.init, "used": report.used}))
    archive.unlink()
    settings.unlink()


def make_kernel(directory: Path) -> None:
    """The kernel's directory, as banger keeps one."""
    asyncio.run(kernel.pull(str(directory), agent_path(), lambda stage: None))


def _settings() -> bytes:
    tar = Tar()
    for path, text in FILES.items():
        tar.file(path, text.encode())
    tar.symlink("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf")
    return tar.bytes()
