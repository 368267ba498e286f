"""Daemons that die at every boundary, and the next one that puts things right."""

import asyncio

import pytest

from banger import errors
from banger.api.operation import Operation
from banger.engine.change import Report
from banger.store.database import Database
from tests.unit.engine.conftest import Step, World

NAMES = ["one", "two", "three"]


class Death(BaseException):
    """A daemon's end: what raises it never comes back."""


def die(step: Step, report: Report) -> None:
    raise Death


def half_done(world: World, name: str) -> None:
    """Die after the act, before the engine hears of it."""

    def act(step: Step, report: Report) -> None:
        if name.startswith("do "):
            world.made.add(step.name)
        else:
            world.made.discard(step.name)
        raise Death

    world.hooks[name] = act


async def run_until_death(world: World, kind: str) -> str:
    """Begin a change in a daemon that dies under way."""
    engine = world.engine()
    key = engine.begin(kind, subject="a", subject_id="a", spec={"names": NAMES}).id
    with pytest.raises(errors.Interrupted):
        await engine.join(key)
    with pytest.raises(errors.Busy):  # nothing else may touch the subject before it is put right
        engine.begin(kind, subject="a", subject_id="a", spec={"names": NAMES})
    return key


async def recover(world: World, key: str) -> Operation:
    world.hooks.clear()
    engine = world.engine()
    await engine.recover()
    states = [state async for state in engine.follow(key)]
    assert engine.under_way("a") is None
    return states[-1]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", NAMES)
def test_a_change_that_died_going_forward_is_undone(world: World, name: str, when: str) -> None:
    if when == "before":
        world.hooks[f"do {name}"] = die
    else:
        half_done(world, f"do {name}")

    async def scenario() -> Operation:
        return await recover(world, await run_until_death(world, "thing.make"))

    ended = asyncio.run(scenario())
    assert world.made == set()
    assert ended.state == "failed"
    assert ended.error is not None
    assert ended.error.code == "interrupted"
    undone = [entry for entry in world.journal if entry.startswith("undo")]
    assert undone == [f"undo {each}" for each in reversed(NAMES[: NAMES.index(name) + 1])]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", NAMES)
def test_a_change_that_is_to_be_resumed_goes_on_where_it_was(world: World, name: str, when: str) -> None:
    if when == "before":
        world.hooks[f"do {name}"] = die
    else:
        half_done(world, f"do {name}")

    async def scenario() -> Operation:
        return await recover(world, await run_until_death(world, "thing.finish"))

    ended = asyncio.run(scenario())
    assert ended.state == "done"
    assert world.made == set(NAMES)
    at = NAMES.index(name)
    assert world.journal == [f"do {each}" for each in NAMES[: at + 1] + NAMES[at:]]
    assert "interrupted" in [phase.name for phase in ended.phases]


@pytest.mark.parametrize("kind", ["thing.make", "thing.finish"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", NAMES)
def test_a_change_that_died_going_back_goes_on_back_with_its_own_reason(
    world: World, name: str, when: str, kind: str
) -> None:
    def fail(step: Step, report: Report) -> None:
        raise errors.DiskFull(path="/d")

    world.hooks["do three"] = fail
    if when == "before":
        world.hooks[f"undo {name}"] = die
    else:
        half_done(world, f"undo {name}")

    async def scenario() -> Operation:
        return await recover(world, await run_until_death(world, kind))

    ended = asyncio.run(scenario())
    assert world.made == set()
    assert ended.state == "failed"
    assert ended.error is not None
    assert ended.error.code == "disk_full"


def test_a_cancelled_change_that_died_going_back_ends_cancelled(world: World) -> None:
    async def scenario() -> Operation:
        engine = world.engine()
        reached = asyncio.Event()

        async def hang(step: Step, report: Report) -> None:
            reached.set()
            await asyncio.Event().wait()

        world.hooks.update({"do two": hang, "undo two": die})
        key = engine.begin("thing.make", subject="a", subject_id="a", spec={"names": NAMES}).id
        await reached.wait()
        engine.cancel(key)
        with pytest.raises(errors.Interrupted):
            await engine.join(key)
        return await recover(world, key)

    assert asyncio.run(scenario()).state == "cancelled"


def test_facts_on_record_reach_the_undo_of_the_next_daemon(world: World) -> None:
    found: list[object] = []

    def note(step: Step, report: Report) -> None:
        report.record(pid=4711)
        raise Death

    async def scenario() -> None:
        world.hooks["do two"] = note
        await run_until_death(world, "thing.make")
        world.hooks.clear()
        world.hooks["undo two"] = lambda step, report: found.append(step.recorded)
        engine = world.engine()
        await engine.recover()

    asyncio.run(scenario())
    assert found == [{"pid": 4711}]


def test_a_daemon_that_ends_in_order_leaves_its_changes_to_the_next(world: World) -> None:
    async def scenario() -> Operation:
        engine = world.engine()
        reached = asyncio.Event()

        async def hang(step: Step, report: Report) -> None:
            world.made.add(step.name)
            reached.set()
            await asyncio.Event().wait()

        world.hooks["do two"] = hang
        key = engine.begin("thing.make", subject="a", subject_id="a", spec={"names": NAMES}).id
        joined = asyncio.create_task(engine.join(key))
        await reached.wait()
        await engine.close()
        with pytest.raises(errors.Interrupted):
            await joined
        with pytest.raises(errors.Interrupted):
            engine.begin("thing.make", subject="b", subject_id="b", spec={"names": NAMES})
        assert world.made == {"one", "two"}
        return await recover(world, key)

    ended = asyncio.run(scenario())
    assert ended.state == "failed"
    assert world.made == set()


def test_closing_lets_an_undo_that_is_under_way_come_to_its_end(world: World) -> None:
    async def scenario() -> Operation:
        engine = world.engine()
        reached = asyncio.Event()

        async def slow(step: Step, report: Report) -> None:
            reached.set()
            await asyncio.sleep(0.05)

        world.hooks.update({"do two": lambda step, report: 1 / 0, "undo two": slow})
        key = engine.begin("thing.make", subject="a", subject_id="a", spec={"names": NAMES}).id
        await reached.wait()
        await engine.close()
        assert world.made == {"one"}
        return await recover(world, key)

    ended = asyncio.run(scenario())
    assert world.made == set()
    assert ended.error is not None
    assert ended.error.code == "internal"


def test_a_change_of_an_unknown_kind_ends_failed_and_says_what_it_may_have_left(world: World) -> None:
    async def scenario() -> Operation:
        world.hooks["do two"] = die
        key = await run_until_death(world, "thing.make")
        Database(str(world.path)).execute(
            "UPDATE operations SET kind = 'thing.gone', document = replace(document, 'thing.make', 'thing.gone')"
        )
        return await recover(world, key)

    ended = asyncio.run(scenario())
    assert ended.state == "failed"
    assert ended.error is not None
    assert ended.error.data["left"] == ["entry one", "entry two"]
