"""When machines have been used, and when the keeper of limits acts."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from banger import errors
from banger.store.database import Database
from banger.store.records import Records
from banger.vms import leases
from banger.vms.deadline import Deadline
from banger.vms.leases import Activity, Leases
from banger.vms.record import Machines, VmRecord
from tests.unit.vms.test_deadline import FakeClock

MACHINE = VmRecord(
    id="one",
    name="one",
    state="running",
    image="i",
    kernel="k",
    vcpu=1,
    memory=1,
    disk_size=1,
    driver="fake",
    created=1.0,
)


def test_a_machine_is_in_use_while_anybody_uses_it() -> None:
    clock = FakeClock()
    activity = Activity(clock)
    assert activity.idle("one") == 0
    clock.now += 5
    assert activity.idle("one") == 5
    with activity.using("one"):
        with activity.using("one"):
            clock.now += 100
        assert activity.idle("one") == 0
    clock.now += 3
    assert activity.idle("one") == 3
    activity.touch("one")
    assert activity.idle("one") == 0
    clock.now += 3
    activity.keep(set())
    assert activity.idle("one") == 0, "it was forgotten"


class Scene:
    """A keeper of limits, a clock that stands, and notes of what it ended."""

    def __init__(self, path: str, stale_after: float = 0.0) -> None:
        self.clock = FakeClock()
        self.database = Database(path)
        self.machines = Machines(Records(self.database, "vms", VmRecord))
        self.machines.insert(MACHINE)
        self.ended: list[str] = []
        self.fail = False
        self.busy = False
        self.before: Callable[[], None] = lambda: None
        self.leases = Leases(self.machines, self.end, self.occupied, stale_after, self.clock)

    async def end(self, vm_id: str, reason: str, due: Callable[[], bool]) -> None:
        self.before()
        if self.fail:
            self.ended.append("failed")
            raise errors.AgentLost(reason="as asked for", name=vm_id)
        if due():
            self.ended.append(reason)
            self.machines.change(vm_id, state="stopped")

    async def occupied(self, record: VmRecord) -> bool:
        return self.busy

    def limit(self, seconds: float) -> None:
        self.machines.change("one", deadline=Deadline.after(seconds, self.clock))

    async def look(self) -> None:
        """Let the keeper look once, and do what it does."""
        self.leases.wake()
        for _ in range(20):
            await asyncio.sleep(0)

    def play(self, story: "Callable[[Scene], Awaitable[None]]") -> None:
        async def run() -> None:
            self.leases.start()
            await story(self)
            await self.leases.close()

        asyncio.run(run())
        self.database.close()


def test_a_limit_ends_a_machine_once(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.limit(60)
        await scene.look()
        assert scene.ended == []
        scene.clock.now += 60
        await scene.look()
        await scene.look()
        assert scene.ended == [leases.EXPIRED]

    Scene(f"{tmp_path}/db").play(story)


def test_a_limit_that_is_moved_while_a_change_is_waited_for_holds(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.limit(60)
        scene.clock.now += 60
        scene.before = lambda: scene.limit(60)
        await scene.look()
        assert scene.ended == []
        assert scene.machines.find("one").state == "running"

    Scene(f"{tmp_path}/db").play(story)


def test_a_machine_that_cannot_be_ended_is_not_tried_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(scene: Scene) -> None:
        scene.fail = True
        scene.limit(-1)
        await scene.look()
        await scene.look()
        assert scene.ended == ["failed"]

    Scene(f"{tmp_path}/db").play(story)
    monkeypatch.setattr(leases, "RETRY", 0.0)

    async def again(scene: Scene) -> None:
        scene.fail = True
        scene.limit(-1)
        await scene.look()
        scene.fail = False
        await scene.look()
        assert scene.ended[-1] == leases.EXPIRED

    Scene(f"{tmp_path}/other").play(again)


def test_a_machine_that_nobody_uses_is_ended_and_one_that_works_by_itself_is_not(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        await scene.look()
        scene.busy = True
        scene.clock.now += 101
        await scene.look()
        assert scene.ended == []
        scene.busy = False
        scene.clock.now += 99
        await scene.look()
        assert scene.ended == []
        with scene.leases.activity.using("one"):
            scene.clock.now += 1000
            await scene.look()
            assert scene.ended == []
        scene.clock.now += 101
        await scene.look()
        assert scene.ended == [leases.UNUSED]

    Scene(f"{tmp_path}/db", stale_after=100).play(story)


def test_a_keeper_that_was_just_told_something_can_be_closed(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        for steps in range(6):
            scene.limit(60)
            await scene.look()
            scene.leases.wake()
            for _ in range(steps):
                await asyncio.sleep(0)
            await scene.leases.close()
            scene.leases.start()

    Scene(f"{tmp_path}/db").play(story)


@pytest.mark.parametrize("fields", [{"state": "stopped"}, {"worker_of": "other"}, {"deadline": None}], ids=str)
def test_what_has_no_limit_is_left_alone(tmp_path: Path, fields: dict[str, object]) -> None:
    async def story(scene: Scene) -> None:
        scene.limit(-1)
        scene.machines.change("one", **fields)
        await scene.look()
        assert scene.ended == []

    Scene(f"{tmp_path}/db").play(story)
