"""What requests about jails are refused before anything is looked at, and what limits follow from one."""

import dataclasses
import os
from pathlib import Path

import pytest

from banger.helper import cgroup, jail, values
from banger.helper.connection import Connect
from banger.helper.host import Host
from banger.helper.launch import Launch, StoredFile, Sweep
from banger.helper.operation import Refused
from banger.helper.signalling import Signal

HOST = Host(owner_uid=1000, owner_gid=1000)
SHA256 = "0" * 64
GOOD = Launch(vm_id="0123456789abcdef", slot=0, kernel=SHA256, vcpus=2, memory=512)


def test_a_plain_request_is_accepted() -> None:
    GOOD.validate(HOST)
    dataclasses.replace(GOOD, files=(StoredFile("modules", SHA256),), tap="tap-fc-0", device=True, work=True).validate(
        HOST
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"vm_id": "../../../../etc/x"},
        {"vm_id": "0123456789ABCDEF"},
        {"vm_id": "0123456789abcdef\n"},
        {"slot": -1},
        {"slot": 1000},
        {"kernel": "vmlinux"},
        {"kernel": SHA256 + "/.."},
        {"tap": "eth0"},
        {"vcpus": 0},
        {"vcpus": 33},
        {"memory": 31},
        {"memory": 1 << 40},
        {"cpu_weight": 0},
        {"cpu_weight": 10_001},
        {"io_bytes": (1 << 40) + 1},
        {"io_bytes": -1},
        {"io_operations": 1 << 40},
        {"files": (StoredFile("root", SHA256),)},
        {"files": (StoredFile("work", SHA256),)},
        {"files": (StoredFile("firecracker", SHA256),)},
        {"files": (StoredFile("../x", SHA256),)},
        {"files": (StoredFile("run", SHA256),)},
        {"files": (StoredFile("modules", "x"),)},
        {"files": (StoredFile("modules", SHA256),) * 2},
        {"files": tuple(StoredFile(f"file-{number}", SHA256) for number in range(9))},
    ],
    ids=repr,
)
def test_anything_else_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Refused):
        dataclasses.replace(GOOD, **wrong).validate(HOST)  # type: ignore[arg-type]


def test_only_two_sockets_and_two_signals() -> None:
    for name in ("", "run/api.sock", "../api", "API"):
        with pytest.raises(Refused):
            Connect(vm_id=GOOD.vm_id, socket=name).validate(HOST)
    for name in ("STOP", "9", "", "kill"):
        with pytest.raises(Refused):
            Signal(vm_id=GOOD.vm_id, pid=1000, start_ticks=1, signal=name).validate(HOST)


def test_what_undoes_judges_the_id_by_itself(tmp_path: Path) -> None:
    host = dataclasses.replace(HOST, private=str(tmp_path), cgroup=str(tmp_path))
    for vm_id in ("..", "", "/", "0123456789abcdef/.."):
        with pytest.raises(Refused):
            dataclasses.replace(GOOD, vm_id=vm_id).undo(host)
        with pytest.raises(Refused):
            Sweep(vm_id=vm_id).execute(host)
    assert os.listdir(tmp_path) == []


def test_a_request_travels_as_json() -> None:
    request = dataclasses.replace(GOOD, files=(StoredFile("modules", SHA256),))
    assert values.decode(Launch, values.encode(request)) == request


def test_limits() -> None:
    assert cgroup.limits(512, 2, 100) == {
        "memory.max": str((512 + 16 + 128) << 20),
        "memory.swap.max": "0",
        "cpu.max": "300000 100000",
        "cpu.weight": "100",
        "pids.max": "34",
    }


def test_the_limits_of_disks_hold_for_each_of_them() -> None:
    disks = ["253:1", "253:7"]
    assert cgroup.io_limits(disks, 0, 0) == cgroup.io_limits([], 1, 1) == {}
    assert cgroup.io_limits(disks[:1], 1 << 20, 0) == {"io.max": "253:1 rbps=1048576 wbps=1048576"}
    assert cgroup.io_limits(disks, 1, 2)["io.max"].splitlines() == [
        "253:1 rbps=1 wbps=1 riops=2 wiops=2",
        "253:7 rbps=1 wbps=1 riops=2 wiops=2",
    ]


def test_clearing_follows_nothing_and_needs_no_depth(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    top = tmp_path / "top"
    top.mkdir()
    (top / "link").symlink_to(outside)
    os.mkfifo(top / "fifo")
    for number in range(1500):
        (top / f"file-{number}").touch()
    held = os.open(top, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("deep", dir_fd=held)
        below = os.open("deep", os.O_RDONLY, dir_fd=held)
        os.close(held)
        held = below
    os.symlink(outside, "link", dir_fd=held)
    os.close(held)
    held = os.open(top, os.O_RDONLY)
    try:
        jail.clear(held)
    finally:
        os.close(held)
    assert os.listdir(top) == []
    assert os.listdir(outside) == ["file"]
