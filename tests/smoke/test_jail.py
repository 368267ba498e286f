"""The jail of a running machine, looked at from outside by root."""

import json

from banger.paths import SYSTEM_CONFIG
from banger.system import units
from tests.smoke.host.box import Host
from tests.smoke.machines import show

SETTINGS = b'disk_bytes_per_second = "1G"\ndisk_operations_per_second = 100_000\n'
NUMBERS = {
    "CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_FOWNER": 3, "CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7,
    "CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_CHROOT": 18, "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21,
    "CAP_MKNOD": 27,
}  # fmt: skip
"""As <linux/capability.h> numbers them."""


def status(host: Host, pid: int) -> dict[str, str]:
    """The fields of /proc/PID/status."""
    lines = host.read(f"/proc/{pid}/status").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_a_monitor_can_do_as_little_as_possible(serving: Host) -> None:
    pid = show(serving, "one")["pid"]
    found = status(serving, pid)
    uids, gids = set(found["Uid"].split()), set(found["Gid"].split())
    assert len(uids) == len(gids) == 1
    assert int(uids.pop()) >= 100_000
    assert found["Groups"] == ""
    assert [found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")] == ["0000000000000000"] * 4
    assert found["NoNewPrivs"] == "1"
    # What it could regain by a program of root's, if NoNewPrivs did not keep it from that: the jailer needs these to
    # make the jail, and no process can give them up for another.
    assert int(found["CapBnd"], 16) == sum(1 << NUMBERS[each] for each in units.CAPABILITIES)
    for task in serving.run(["ls", f"/proc/{pid}/task"]).stdout.split():
        assert "Seccomp:\t2" in serving.read(f"/proc/{pid}/task/{task}/status")


def test_a_monitor_sees_its_jail_and_nothing_else(serving: Host) -> None:
    pid = show(serving, "one")["pid"]
    root = serving.run(["readlink", f"/proc/{pid}/root"]).stdout
    assert root == "/\n" or "/jails/" in root  # pivot_root: its own mount namespace's root
    inside = serving.run(["ls", f"/proc/{pid}/root"]).stdout.split()
    assert not {"etc", "home", "proc", "sys", "usr", "var"} & set(inside)
    mine, its = (serving.run(["readlink", f"/proc/{each}/ns/mnt"]).stdout for each in ("1", pid))
    assert mine != its


def test_a_monitor_has_limits(serving: Host) -> None:
    pid = show(serving, "one")["pid"]
    cgroup = serving.read(f"/proc/{pid}/cgroup").strip().removeprefix("0::")
    assert cgroup.startswith("/banger.slice/banger-machines.service/")
    timer = serving.run(["pgrep", "--exact", f"kvm-pit/{pid}"]).stdout.strip()
    serving.until(["grep", "--fixed-strings", "--line-regexp", f"0::{cgroup}", f"/proc/{timer}/cgroup"])  # soon
    for limit in ("memory.max", "pids.max", "cpu.max"):
        value = serving.read(f"/sys/fs/cgroup{cgroup}/{limit}").split()[0]
        assert value != "max", limit
    for limit, value in (("memory.swap.max", "0"), ("cpu.weight", "100")):
        assert serving.read(f"/sys/fs/cgroup{cgroup}/{limit}").strip() == value, limit


def test_what_a_monitor_counts_is_kept_in_one_small_file(serving: Host) -> None:
    """By a daemon that has not started it. The monitor writes once a minute."""
    vm = show(serving, "one")
    serving.run(["systemctl", "restart", units.DAEMON_SERVICE])
    serving.banger("exec", "one", "--", "true")
    path = f"/var/lib/banger/vms/{vm['id']}/metrics.json"
    serving.until(["test", "-s", path], timeout=240)
    assert serving.run(["stat", "--format=%U %a", path]).stdout == "owner 600\n"
    found = json.loads(serving.read(path))
    assert len(serving.read(path)) <= 1 << 16 and {"vcpu", "vsock", "seccomp"} <= set(found)
    pipe = f"/var/lib/banger-root/jails/firecracker/{vm['id']}/root/run/metrics"
    assert serving.run(["stat", "--format=%F", pipe]).stdout == "fifo\n"


def test_what_the_settings_say_is_in_the_kernel(stocked: Host) -> None:
    """A machine's disks are limited, the root and the work disk alike; the kernel tells which devices they are."""
    before = stocked.read(SYSTEM_CONFIG)
    stocked.run(["tee", "--append", SYSTEM_CONFIG], stdin=SETTINGS)
    try:
        stocked.run(["systemctl", "restart", units.DAEMON_SERVICE])
        stocked.banger("run", "--detach", "--name", "two", "--vcpu", "2", "--image", "busybox", timeout=180)
        vm = show(stocked, "two")
        group = f"/sys/fs/cgroup/banger.slice/banger-machines.service/vm-{vm['id']}"
        assert stocked.read(f"{group}/cpu.weight").strip() == "200"
        disks = f"grep --files-with-matches -- '-{vm['id']}$' /sys/block/dm-*/dm/uuid | sed s,dm/uuid,dev, | xargs cat"
        numbers = stocked.run(disks).stdout.split()
        assert len(numbers) == 2
        rates = f"rbps={1 << 30} wbps={1 << 30} riops=100000 wiops=100000"
        assert set(stocked.read(f"{group}/io.max").splitlines()) == {f"{number} {rates}" for number in numbers}
        stocked.banger("vm", "delete", "two", timeout=120)
    finally:
        stocked.run(["tee", SYSTEM_CONFIG], stdin=before.encode())
        stocked.run(["systemctl", "restart", units.DAEMON_SERVICE])
