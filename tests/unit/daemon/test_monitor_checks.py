"""Rows about machines that run, on a host whose /proc and control groups are directories."""

import os
from pathlib import Path

import pytest

from banger.api.vm import Vm
from banger.daemon.checks import monitors
from banger.helper.launch import DESCRIPTOR_LIMIT
from tests.unit.daemon.test_checks import RECORD, put

STATUS = "Name:\tfirecracker\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nSeccomp:\t{seccomp}\nSeccomp_filters:\t1\n"
LIMITS = (
    "Limit  Soft  Hard  Units\nMax file size             {size}  {size}  bytes\n"
    "Max open files            {files}  {files}  files\n"
)
STAT = "1 (fire cracker)) S " + "0 " * 18 + "{ticks} 0 0\n"
LEAF = "sys/fs/cgroup/banger.slice/banger-machines.service/vm-{id}"


def machine(number: int, driver: str = "firecracker", nat: bool = False) -> Vm:
    return Vm(
        id=f"{number:016x}", name=f"vm-{number}", state="running", image="i", image_id="1", kernel="k", vcpu=1,
        memory=1, disk_size=1, env={}, ephemeral=False, driver=driver, machine="m", address=None, nat=nat,
        pid=100 + number, created=0, started=0, stopped=None, stop_reason=None, error=None, operation=None,
    )  # fmt: skip


def lay(
    root: Path, each: Vm, *, uid: int = 900_001, seccomp: int = 2, size: str = "1000", files: str = "2048", **leaf: str
) -> None:
    """A machine as the kernel tells of it."""
    put(root, f"proc/{each.pid}/status", STATUS.format(uid=uid, seccomp=seccomp))
    put(root, f"proc/{each.pid}/limits", LIMITS.format(size=size, files=files))
    values = {"memory_max": "1000", "memory_swap_max": "0", "cpu_max": "200000 100000", "pids_max": "33"} | leaf
    for name, value in values.items():
        path = LEAF.format(id=each.id) + "/" + name.replace("_", ".")
        put(root, path, value + "\n")
    thread = 900 + (each.pid or 0)
    put(root, f"proc/{thread}/comm", f"kvm-pit/{each.pid}\n")
    put(root, f"proc/{thread}/cgroup", f"0::/banger.slice/banger-machines.service/vm-{each.id}\n")


@pytest.mark.parametrize("row", monitors.ROWS.values(), ids=monitors.ROWS)
def test_machines_that_are_held_as_they_should_be(tmp_path: Path, row: monitors.Row) -> None:
    assert row([], RECORD, str(tmp_path))[0] == "pass"
    pair = [machine(1, nat=True), machine(2)]
    for each in pair:
        lay(tmp_path, each, uid=900_000 + int(each.id, 16))
    put(tmp_path, "proc/sys/net/ipv4/ip_forward", "1\n")
    status, detail, mend = row(pair, RECORD, str(tmp_path))
    assert (status, mend) == ("pass", "") and detail


@pytest.mark.parametrize("row", monitors.ROWS.values(), ids=monitors.ROWS)
def test_a_machine_that_has_just_ended_is_no_fault(tmp_path: Path, row: monitors.Row) -> None:
    gone = machine(1, driver="qemu")
    assert row([gone], RECORD, str(tmp_path))[0] == row([gone], None, str(tmp_path))[0] == "pass"


@pytest.mark.parametrize("row", [monitors.seccomp, monitors.users, monitors.limits, monitors.timers])
def test_what_cannot_be_seen_is_not_praised(tmp_path: Path, row: monitors.Row) -> None:
    assert row([machine(1)], RECORD, str(tmp_path)) == ("pass", monitors.UNSEEN, "")
    both = [machine(1), machine(2)]
    lay(tmp_path, both[1])
    status, detail, _ = row(both, RECORD, str(tmp_path))
    assert status == "pass" and detail.endswith("(1 of 2 seen)")


@pytest.mark.parametrize(
    ("row", "changed", "status", "detail"),
    [
        (monitors.seccomp, {"seccomp": 0}, "fail", "vm-1 runs without a seccomp filter"),
        (monitors.users, {"uid": 0}, "fail", "vm-1 runs as root"),
        (monitors.users, {"uid": 1000}, "fail", "vm-1 runs as a user that is not the machines'"),
        (monitors.limits, {"size": "unlimited"}, "warn", "vm-1 runs without a limit on the size of its files"),
        (monitors.limits, {"files": "1048576"}, "warn", "vm-1 runs with more open files than it may need"),
        (monitors.limits, {"files": "unlimited"}, "warn", "vm-1 runs with more open files than it may need"),
        (monitors.control_groups, {"memory_max": "max"}, "fail", "vm-1 runs without the limits of its control group"),
        (monitors.control_groups, {"pids_max": "max"}, "fail", "vm-1 runs without the limits of its control group"),
        (monitors.control_groups, {"cpu_max": "max 100000"}, "fail", "vm-1 runs without the limits of its control"),
        (monitors.control_groups, {"memory_swap_max": "max"}, "fail", "vm-1 runs without the limits of its control"),
    ],
)
def test_one_that_is_not(tmp_path: Path, row: monitors.Row, changed: dict[str, str], status: str, detail: str) -> None:
    pair = [machine(1), machine(2)]
    lay(tmp_path, pair[0], **changed)  # type: ignore[arg-type]
    lay(tmp_path, pair[1], uid=900_002)
    found = row(pair, RECORD, str(tmp_path))
    assert (found[0], found[2]) == (status, "banger vm restart vm-1")
    assert found[1].startswith(detail)


def test_two_jails_of_one_user(tmp_path: Path) -> None:
    pair = [machine(1), machine(2)]
    for each in pair:
        lay(tmp_path, each)
    found = monitors.users(pair, RECORD, str(tmp_path))
    assert found == ("fail", "vm-1, vm-2 run as the same user as another", "banger vm restart vm-1 vm-2")


def test_a_timer_that_is_outside_of_its_machine(tmp_path: Path) -> None:
    one = machine(1)
    lay(tmp_path, one)
    put(tmp_path, f"proc/{900 + 101}/cgroup", "0::/\n")
    found = monitors.timers([one], RECORD, str(tmp_path))
    assert (found[0], "vm-1 runs with a timer" in found[1]) == ("warn", True)
    put(tmp_path, "proc/uptime", "1000.00 900.00\n")
    put(tmp_path, f"proc/{one.pid}/stat", STAT.format(ticks=900 * os.sysconf("SC_CLK_TCK")))
    assert monitors.timers([one], RECORD, str(tmp_path)) == found
    put(tmp_path, f"proc/{one.pid}/stat", STAT.format(ticks=990 * os.sysconf("SC_CLK_TCK")))
    assert monitors.timers([one], RECORD, str(tmp_path))[0] == "pass", "it has just begun"


def test_a_host_that_does_not_route(tmp_path: Path) -> None:
    put(tmp_path, "proc/sys/net/ipv4/ip_forward", "0\n")
    found = monitors.routing([machine(1, nat=True), machine(2), machine(3, "qemu", nat=True)], RECORD, str(tmp_path))
    assert found[0] == "warn" and "vm-1 cannot" in found[1] and found[2].startswith("sudo sysctl")
    assert monitors.routing([machine(2)], RECORD, str(tmp_path))[0] == "pass"


def test_the_number_of_open_files_is_the_one_that_jails_are_started_with(tmp_path: Path) -> None:
    assert monitors.JAILED_OPEN == DESCRIPTOR_LIMIT
    plain = machine(1, driver="qemu")
    lay(tmp_path, plain, files="1048576")
    assert monitors.limits([plain], None, str(tmp_path))[0] == "pass"
    lay(tmp_path, plain, files="unlimited")
    assert monitors.limits([plain], None, str(tmp_path))[0] == "warn"


def test_a_limit_on_a_disk_is_told_where_one_is_set(tmp_path: Path) -> None:
    both = [machine(1), machine(2)]
    for each, limit in zip(both, ("8:0 rbps=1000 wbps=max riops=max wiops=70", ""), strict=True):
        lay(tmp_path, each, io_max=limit)
    status, detail, _ = monitors.control_groups(both, RECORD, str(tmp_path))
    assert (status, detail) == ("pass", "every jail has its limits; on their disks: vm-1 (rbps=1000 wiops=70)")
