"""A guest inside the box without banger: what the emulated KVM, Firecracker and its jailer can do on their own."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.kernels import cpio
from tests.smoke.host.box import Host

JAILS, NAME, UID = "/srv/bare", "one", 20000
CHROOT = f"{JAILS}/firecracker/{NAME}/root"

INIT = b"""\
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
echo "guest: $(/bin/busybox uname -s) with $(/bin/busybox grep -c ^processor /proc/cpuinfo) processor"
/bin/busybox reboot -f
"""

MACHINE = {
    "boot-source": {
        "kernel_image_path": "/vmlinux",
        "initrd_path": "/initrd",
        "boot_args": "console=ttyS0 reboot=k panic=-1 pci=off quiet loglevel=3 mitigations=off tsc=reliable "
        "no_timer_check random.trust_cpu=on cryptomgr.notests 8250.nr_uarts=1 i8042.noaux i8042.nomux i8042.dumbkbd",
    },
    "drives": [],
    "machine-config": {"vcpu_count": 1, "mem_size_mib": 128},
}

JAILER = (
    "jailer", "--id", NAME, "--exec-file", "/usr/local/bin/firecracker", "--uid", str(UID), "--gid", str(UID),
    "--chroot-base-dir", JAILS, "--cgroup-version", "2", "--parent-cgroup", "bare", "--cgroup", "pids.max=64",
    "--", "--no-api", "--config-file", "/machine.json",
)  # fmt: skip


@pytest.fixture
def jail(host: Host, tmp_path: Path) -> Iterator[Host]:
    """A chroot with a kernel and an initrd whose init says one line and reboots."""
    initrd = tmp_path / "initrd"
    initrd.write_bytes(
        cpio.archive(
            [
                *(cpio.directory(each) for each in ("bin", "dev", "proc")),
                cpio.character_device("dev/console", 0o600, 5, 1),
                cpio.regular("bin/busybox", Path("/bin/busybox").read_bytes(), 0o755),
                cpio.regular("init", INIT, 0o755),
            ]
        )
    )
    (tmp_path / "machine.json").write_text(json.dumps(MACHINE))
    host.run(f"mkdir -p {CHROOT} && cp /kit/kernel/vmlinux {CHROOT}")
    host.put(initrd, f"{CHROOT}/initrd")
    host.put(tmp_path / "machine.json", f"{CHROOT}/machine.json")
    yield host
    host.run(f"rm -r {JAILS}; rmdir /sys/fs/cgroup/bare/*/ /sys/fs/cgroup/bare")


def test_a_jailed_firecracker_boots_a_kernel(jail: Host) -> None:
    ended = jail.run(JAILER, timeout=120)
    assert "guest: Linux with 1 processor" in ended.stdout
