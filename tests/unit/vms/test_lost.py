"""A machine in a jail whose row is gone: its monitor is believed where root says that it is in that jail."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from banger import errors, proc
from banger.helper.operation import Operation, Outcome
from banger.paths import Paths
from banger.privileged.installation import Host
from banger.privileged.operations import Inspect
from banger.store.database import Database
from banger.store.records import Records
from banger.vmm.driver import Handle
from banger.vms import handles, lost
from banger.vms.forwards import Forwards
from banger.vms.record import Machines, VmRecord

ID, OTHER = "00000000000000a1", "00000000000000a2"
SLOT = 3
HOST = Host(owner_uid=1, owner_gid=1)


def me() -> dict[str, Any]:
    """This process, as a monitor: it is alive, and no command line tells whose it is."""
    ticks = proc.start_ticks(os.getpid())
    assert ticks is not None
    return {"pid": os.getpid(), "start_ticks": ticks, "monitor": True}


class Root:
    """Tells of one jail, and writes down what it is told to do."""

    def __init__(self) -> None:
        self.host = HOST
        self.uid: int | None = HOST.uid(SLOT)
        self.processes = [me()]
        self.fails = False
        self.told: list[str] = []

    async def perform(self, operation: Operation, **_: object) -> Outcome:
        if self.fails:
            raise errors.HelperUnavailable(reason="nobody listens")
        if isinstance(operation, Inspect):
            return Outcome({"uid": self.uid, "processes": self.processes if operation.vm_id == ID else []})
        self.told.append(f"{operation.NAME} {getattr(operation, 'vm_id', '')}")
        return Outcome()


class Connections:
    async def drop(self, vm_id: str) -> None:
        pass


def never(*asked: object) -> Any:
    raise AssertionError(asked)


class Scene:
    """A machine's directory with its second record, and an empty database."""

    def __init__(self, top: Path, machines: Machines) -> None:
        self.paths = Paths(*(str(top / each) for each in ("config", "state", "cache", "runtime")))
        os.makedirs(self.paths.vm(ID))
        self.root = Root()
        self.machines = machines
        self.parts: Any = SimpleNamespace(
            machines=machines, paths=self.paths, privileged=self.root, root=self.root, network=None,
            connections=Connections(), forwards=Forwards(never, never, never),
        )  # fmt: skip
        console = os.path.join(self.paths.vm(ID), "console.log")
        mine = me()
        self.handle = Handle(
            driver="firecracker", machine="jail", pid=mine["pid"], start_ticks=mine["start_ticks"], console=console,
            details={"vm": ID},
        )  # fmt: skip
        self.record = VmRecord(
            id=ID, name="one", image="i", kernel="k", vcpu=1, memory=1, disk_size=1, driver="firecracker", slot=SLOT,
            jailed=True, state="running", created=1.0, handle=self.handle,
        )  # fmt: skip

    def recovered(self, **changes: object) -> VmRecord:
        handles.keep(self.paths, msgspec.structs.replace(self.record, **changes))
        asyncio.run(lost.recover_one(self.parts, ID))
        found = self.machines.get(ID)
        assert found is not None
        return found


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    database = Database(str(tmp_path / "store.db"))
    yield Scene(tmp_path, Machines(Records(database, "vms", VmRecord)))
    database.close()


SWEPT = [f"machine.sweep {ID}", f"disk.remove {ID}"]


def test_one_that_runs_in_its_jail_is_taken_over(scene: Scene) -> None:
    found = scene.recovered()
    assert (found.state, found.handle, found.slot) == ("running", scene.handle, SLOT)
    assert scene.root.told == [], "nothing of it is touched"


def test_one_that_was_stopped_is_swept_and_keeps_its_disk(scene: Scene) -> None:
    found = scene.recovered(handle=None, state="stopped")
    assert (found.state, found.handle) == ("stopped", None)
    assert scene.root.told == SWEPT and os.path.isdir(scene.paths.vm(ID))


@pytest.mark.parametrize("lie", ["another process", "no monitor", "nobody", "another user", "no jail"])
def test_one_that_root_does_not_find_in_its_jail_is_ended(scene: Scene, lie: str) -> None:
    mine = scene.root.processes[0]
    if lie == "another process":
        mine["start_ticks"] += 1
    elif lie == "no monitor":
        mine["monitor"] = False
    elif lie == "nobody":
        scene.root.processes = []
    else:
        scene.root.uid = None if lie == "no jail" else HOST.uid(SLOT + 1)
    assert scene.recovered().handle is None
    assert scene.root.told == SWEPT


def test_a_handle_that_leads_elsewhere_is_not_believed(scene: Scene) -> None:
    elsewhere = msgspec.structs.replace(scene.handle, details={"vm": OTHER})
    assert scene.recovered(handle=elsewhere).handle is None
    assert scene.root.told == SWEPT


def test_one_whose_slot_another_has_by_now_is_ended_and_gets_its_own(scene: Scene) -> None:
    scene.machines.insert(msgspec.structs.replace(scene.record, id=OTHER, name="two", handle=None))
    found = scene.recovered()
    assert found.handle is None and found.slot != SLOT
    assert scene.root.told == SWEPT


def test_where_root_cannot_be_asked_nothing_is_decided(scene: Scene) -> None:
    scene.root.fails = True
    with pytest.raises(errors.HelperUnavailable):
        scene.recovered()
    assert scene.machines.all() == [] and scene.root.told == []
    scene.root.fails = False
    assert scene.recovered().handle == scene.handle, "it is, once root answers"
