"""A guest in its jail on an installed host: started by the owner through the helper, looked at by root from outside."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from banger.kernels import cpio
from tests.smoke.host.box import Host
from tests.smoke.jail_owner import SLOT, STATE, TAP, VM_ID

PYTHON = "/usr/local/lib/banger/venv/bin/python"
JAIL = f"/var/lib/banger-root/jails/firecracker/{VM_ID}"
MAPPER = f"fc-rootfs-{VM_ID}"
SCRIPT = "/srv/jail_owner.py"
DISK = f"dmsetup create {MAPPER} --uuid banger-{VM_ID} --table '0 2048 zero' && dmsetup mknodes"

INIT = b"""\
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
echo "guest: $(/bin/busybox uname -s) is up"
while :; do /bin/busybox sleep 1; echo "guest: still here"; done
"""


class Installed:
    """The host with banger installed, and its owner's script."""

    def __init__(self, host: Host, kernel: str, initrd: str) -> None:
        self.host, self.kernel, self.initrd = host, kernel, initrd
        record = json.loads(host.read("/etc/banger/install.json"))
        self.uid = record["first_uid"] + SLOT
        self.leaf = f"{record['cgroup']}/vm-{VM_ID}"

    def ask(self, step: str, *arguments: object) -> Any:
        argv = [PYTHON, "-P", SCRIPT, step, *map(str, arguments)]
        return json.loads(self.host.run(argv, user="owner", timeout=120).stdout)

    def status(self, path: str, *fields: str) -> list[str]:
        lines = dict(line.split(":", 1) for line in self.host.read(f"{path}/status").splitlines())
        return [lines[each].strip() for each in fields]


@pytest.fixture
def installed(host: Host, tmp_path: Path) -> Iterator[Installed]:
    """With a kernel, an initial RAM disk, a disk and a tap for one machine."""
    initrd = cpio.archive(
        [
            *(cpio.directory(each) for each in ("bin", "dev", "proc")),
            cpio.character_device("dev/console", 0o600, 5, 1),
            cpio.regular("bin/busybox", Path("/bin/busybox").read_bytes(), 0o755),
            cpio.regular("init", INIT, 0o755),
        ]
    )
    (tmp_path / "initrd").write_bytes(initrd)
    host.run(["/opt/banger/bin/banger", "system", "install", "--owner", "owner"], timeout=300)
    try:
        host.put(tmp_path / "initrd", f"{STATE}/initrd")
        host.put(Path(__file__).with_name("jail_owner.py"), SCRIPT)
        host.run(f"chmod 644 {SCRIPT}; cp /kit/kernel/vmlinux {STATE}; chown owner: {STATE}/initrd {STATE}/vmlinux")
        kernel = host.run(f"sha256sum {STATE}/vmlinux").stdout.split()[0]
        made = Installed(host, kernel, hashlib.sha256(initrd).hexdigest())
        host.run(f"{DISK} && ip tuntap add {TAP} mode tap user {made.uid}")
        yield made
        made.ask("sweep")
    finally:
        host.run(f"ip link delete {TAP}; dmsetup remove {MAPPER}", check=False)
        host.run(["banger", "system", "uninstall", "--purge"], timeout=120)
        host.run(f"rm {SCRIPT}")


def test_a_guest_in_its_jail(installed: Installed) -> None:
    host, uid = installed.host, installed.uid
    launched = installed.ask("launch", installed.kernel, installed.initrd)
    pid = launched["pid"]
    assert launched["uid"] == uid
    host.until(f"grep -q 'guest: Linux is up' {STATE}/console", timeout=120)
    _nobody(installed, pid)
    _limited(installed, pid)
    _in_a_small_place(installed)

    assert installed.ask("contain") == {"threads": 1}
    timer = host.run(f"grep -slx 'kvm-pit/{pid}' /proc/[0-9]*/comm", check=False).stdout.split("/")[2]
    assert host.read(f"{installed.leaf}/cgroup.procs").split() == sorted([str(pid), timer], key=int)
    installed.ask("connect")
    inspected = installed.ask("inspect")
    assert inspected["processes"] == [{"pid": pid, "start_ticks": launched["start_ticks"], "monitor": True}]
    assert installed.ask("machines") == {"machines": [VM_ID]}

    # The helper goes and comes; the guest does not notice.
    host.run("systemctl restart bangerd-root.service", timeout=60)
    host.run(f"truncate --size 0 {STATE}/console")
    host.until(f"grep -q 'guest: still here' {STATE}/console", timeout=60)
    installed.ask("connect")
    assert installed.ask("inspect")["processes"] == inspected["processes"]

    host.run(f"ln -s /etc/shadow {STATE}/shadow")
    other = host.run("pid=$(systemctl show -p MainPID --value dbus); cut -d' ' -f1,22 /proc/$pid/stat").stdout.split()
    assert len(installed.ask("attack", *other)) == 4
    host.run(f"rm {STATE}/shadow")

    assert installed.ask("kill", pid, launched["start_ticks"]) == {"sent": True}
    host.until(f"test ! -e /proc/{pid}/exe", timeout=30)
    assert installed.ask("inspect")["jail"]
    installed.ask("sweep")
    assert host.run(f"ls -d {JAIL} {installed.leaf}", check=False).stdout == ""
    assert installed.ask("machines") == {"machines": []}


def _nobody(installed: Installed, pid: int) -> None:
    """The monitor is the slot's user with no capabilities, and all its threads are filtered."""
    path = f"/proc/{pid}"
    users = installed.status(path, "Uid", "Gid")
    assert {each for line in users for each in line.split()} == {str(installed.uid)}
    assert installed.status(path, "Groups") == [""]
    assert {int(each, 16) for each in installed.status(path, "CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    assert installed.status(path, "NoNewPrivs") == ["1"]
    for task in installed.host.run(f"ls {path}/task").stdout.split():
        assert installed.status(f"{path}/task/{task}", "Seccomp") == ["2"]
    same = (
        "for each in root exe; do stat -L -c %d:%i /proc/{0}/$each; done; stat -c %d:%i {1}/root {1}/root/firecracker"
    )
    places = installed.host.run(same.format(pid, JAIL)).stdout.split()
    assert places[:2] == places[2:]
    assert installed.host.run(f"readlink {path}/ns/pid").stdout == installed.host.run("readlink /proc/1/ns/pid").stdout


def _limited(installed: Installed, pid: int) -> None:
    """In a leaf of its own, with every limit, and so is what the kernel does for it."""
    host, leaf = installed.host, installed.leaf
    assert host.read(f"/proc/{pid}/cgroup").strip() == "0::" + leaf.removeprefix("/sys/fs/cgroup")
    values = {name: host.read(f"{leaf}/{name}").strip() for name in ("memory.max", "cpu.max", "pids.max", "io.max")}
    number = host.run(f"dmsetup info -c --noheadings -o major,minor {MAPPER}").stdout.strip()
    assert values == {
        "memory.max": str((128 + 4 + 128) << 20),
        "cpu.max": "200000 100000",
        "pids.max": "33",
        "io.max": f"{number} rbps={64 << 20} wbps={64 << 20} riops=max wiops=max",
    }
    limits = host.read(f"/proc/{pid}/limits")
    assert f"Max open files            {2048} " in limits
    assert f"Max file size             {(128 + 64) << 20} " in limits


def _in_a_small_place(installed: Installed) -> None:
    """Nobody but root can look into the jail, and the monitor can write below run/ alone."""
    host = installed.host
    assert host.run(f"ls {JAIL}", user="owner", check=False).status != 0
    listed = host.run(f"find {JAIL}/root -uid {installed.uid} -printf '%P %y %m\\n' | sort").stdout.splitlines()
    assert listed == [
        "dev/kvm c 600", "dev/net/tun c 600",
        *(each for each in listed if each in ("dev/urandom c 600", "dev/userfaultfd c 600")),
        "root b 600", "run d 700", "run/api.sock s 755", "run/metrics p 600", "run/vsock.sock s 755",
    ]  # fmt: skip
    assert host.run(f"find {JAIL}/root -type f -perm /022").stdout == ""
