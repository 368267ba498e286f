"""What a production host holds for machines, as root's helper tells it: jails, control groups, block devices, taps."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from banger import errors
from banger.api.daemon import Leftover
from banger.helper.operation import Operation, Outcome
from banger.net.nameserver import Server
from banger.net.service import GuestNetwork
from banger.net.zone import Zone
from banger.paths import Paths
from banger.privileged.installation import Host
from banger.privileged.operations import Disks, Jails, Tap
from banger.store.database import Database
from banger.store.records import Records
from banger.vmm.driver import Handle
from banger.vms import handles, orphans
from banger.vms.orphans import Changes
from banger.vms.record import Machines, VmRecord

RUNS, STOPPED, NOBODY, CHANGING = (f"{number:016x}" for number in range(1, 5))

HANDLE = Handle(driver="fc", machine="jail", pid=1, start_ticks=1, console="")


class Root:
    """Holds what it is given, and writes down what it is told to do."""

    def __init__(self, private: Path, jails: list[str], disks: list[str]) -> None:
        (private / "jails").mkdir(parents=True)
        self.host = Host(owner_uid=1, owner_gid=1, private=str(private))
        self.told: list[str] = []
        self.fails = False
        self._lists = {Jails.NAME: jails, Disks.NAME: disks}

    async def perform(self, operation: Operation, **_: object) -> Outcome:
        if operation.NAME in self._lists:
            return Outcome({"machines": self._lists[operation.NAME]})
        if self.fails:
            raise errors.PrivilegeFailed(operation=operation.NAME, reason="busy", busy=True)
        self.told.append(f"{operation.NAME} {getattr(operation, 'vm_id', '')}")
        return Outcome()

    async def revert(self, operation: Operation, **_: object) -> None:
        assert isinstance(operation, Tap)
        self.told.append(f"not {operation.name}")


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    database = Database(str(tmp_path / "store.db"))
    made = Machines(Records(database, "vms", VmRecord))
    fields: dict[str, Any] = {
        "image": "i",
        "kernel": "k",
        "vcpu": 1,
        "memory": 1,
        "disk_size": 1,
        "driver": "firecracker",
    }
    for slot, (vm_id, name) in enumerate(((RUNS, "runs"), (STOPPED, "stopped"), (CHANGING, "changing"))):
        handle = HANDLE if vm_id == RUNS else None
        made.insert(VmRecord(id=vm_id, name=name, slot=slot, created=slot, jailed=True, handle=handle, **fields))
    yield made
    database.close()


def looked(tmp_path: Path, machines: Machines, root: Root, taps: list[int]) -> list[orphans.Orphan]:
    """What is left over on that host. One machine is in the middle of a change."""
    interfaces = tmp_path / "net"
    for slot in taps:
        (interfaces / f"tap-fc-{slot}").mkdir(parents=True)
    (interfaces / "tap-fc-mine").mkdir(parents=True)
    server = Server(Zone(lambda _: [], lambda _: None))
    network = GuestNetwork(root, server, port=0, upstream="192.0.2.1", pool_size=2, taken=machines.slots)
    there = network.surplus
    network.surplus = lambda: there(str(interfaces))  # type: ignore[method-assign, assignment, misc]
    paths = Paths(*(str(tmp_path / each) for each in ("config", "state", "cache", "runtime")))
    parts = SimpleNamespace(machines=machines, paths=paths, privileged=root, root=root, network=network)
    changes = Changes(lambda vm_id: vm_id == CHANGING, lambda: 0.0)
    return asyncio.run(orphans.find(parts, changes))  # type: ignore[arg-type]


def cleared(found: list[orphans.Orphan]) -> list[Leftover]:
    return asyncio.run(orphans.clear(found))


def test_what_the_host_holds_for_machines_that_do_not_run(tmp_path: Path, machines: Machines) -> None:
    everybody = [RUNS, STOPPED, NOBODY, CHANGING]
    root = Root(tmp_path / "private", jails=[RUNS, NOBODY, CHANGING], disks=everybody)
    found = looked(tmp_path, machines, root, [])
    assert [(each.told.kind, each.told.name, each.told.reason) for each in found] == [
        ("jail", NOBODY, "no record tells of its machine"),
        ("device", STOPPED, "stopped does not run"),
        ("device", NOBODY, "no record tells of its machine"),
    ]
    assert root.told == []
    assert all(each.done for each in cleared(found))
    assert root.told == [f"machine.sweep {NOBODY}", f"disk.remove {STOPPED}", f"disk.remove {NOBODY}"]


def test_what_is_held_for_a_machine_that_is_to_be_entered_again_is_not_left_over(
    tmp_path: Path, machines: Machines
) -> None:
    paths = Paths(*(str(tmp_path / each) for each in ("config", "state", "cache", "runtime")))
    lost = machines.get(RUNS)
    machines.forget(RUNS)
    for vm_id, record in ((RUNS, lost), (NOBODY, None)):
        (Path(paths.vms) / vm_id).mkdir(parents=True)
        handles.keep(paths, record)
    root = Root(tmp_path / "private", jails=[RUNS, NOBODY], disks=[RUNS])
    found = looked(tmp_path, machines, root, [])
    assert [(each.told.kind, Path(each.told.name).name, each.told.remedy) for each in found] == [
        ("machine", RUNS, "enter again"),
        ("machine", NOBODY, "set aside"),
        ("jail", NOBODY, "remove"),
    ]


def test_a_machine_that_is_started_meanwhile_keeps_all_that_it_has(tmp_path: Path, machines: Machines) -> None:
    root = Root(tmp_path / "private", jails=[STOPPED], disks=[STOPPED])
    found = looked(tmp_path, machines, root, [])
    assert len(found) == 2
    machines.change(STOPPED, handle=HANDLE)
    cleared(found)
    assert root.told == []


def test_taps_that_no_machine_has_or_gets_next(tmp_path: Path, machines: Machines) -> None:
    root = Root(tmp_path / "private", [], [])
    found = looked(tmp_path, machines, root, [0, 1, 2, 3, 6, 7, 40])
    assert [each.told.name for each in found] == ["tap-fc-7", "tap-fc-40"], "a pool of two keeps up to four"
    cleared(found)
    assert root.told == ["not tap-fc-7", "not tap-fc-40"]


def test_what_root_cannot_do_is_told(tmp_path: Path, machines: Machines) -> None:
    root = Root(tmp_path / "private", [NOBODY], [])
    found = looked(tmp_path, machines, root, [9])
    root.fails = True
    (jail, tap) = cleared(found)
    assert not jail.done and "busy" in jail.error and tap.done
