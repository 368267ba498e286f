"""Changes that begin, fail, are cancelled and followed while their daemon lives."""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Coroutine

import pytest

from banger import errors
from banger.api.operation import Operation, Progress
from banger.engine.change import Report, Task
from banger.engine.engine import Engine
from tests.unit.engine.conftest import Step, World

NAMES = {"names": ["one", "two", "three"]}


def begin(engine: Engine, kind: str = "thing.make", subject: str = "a", names: dict[str, list[str]] = NAMES) -> str:
    return engine.begin(kind, subject=subject, subject_id=f"id-{subject}", spec=names).id


def fail(error: BaseException) -> Callable[[Step, Report], None]:
    def act(step: Step, report: Report) -> None:
        raise error

    return act


def wait_for(event: asyncio.Event) -> Callable[[Step, Report], Coroutine[object, object, None]]:
    async def act(step: Step, report: Report) -> None:
        await event.wait()

    return act


def test_a_change_does_its_tasks_in_order_and_its_phases_fill_its_time(world: World) -> None:
    async def scenario() -> Operation:
        engine = world.engine()
        return await engine.join(begin(engine))

    ended = asyncio.run(scenario())
    assert world.journal == ["do one", "do two", "do three"]
    assert ended.state == "done"
    assert [phase.name for phase in ended.phases] == ["one", "two", "three"]
    assert ended.finished is not None
    assert math.isclose(ended.finished - ended.started, sum(phase.seconds for phase in ended.phases), abs_tol=1e-4)


def test_a_failure_undoes_in_reverse_and_tells_which_change_it_was(world: World) -> None:
    world.hooks["do three"] = fail(errors.DiskFull(path="/x"))

    async def scenario() -> tuple[str, Operation]:
        engine = world.engine()
        key = begin(engine)
        with pytest.raises(errors.DiskFull, match="/x"):
            await engine.join(key)
        return key, engine.operation(key)

    key, ended = asyncio.run(scenario())
    assert world.journal == ["do one", "do two", "do three", "undo three", "undo two", "undo one"]
    assert ended.state == "failed"
    assert ended.error is not None
    assert (ended.error.code, ended.error.operation, ended.error.data) == ("disk_full", key, {"path": "/x"})
    assert [phase.name for phase in ended.phases] == ["one", "two", "three", "undo three", "undo two", "undo one"]


def test_an_unexpected_exception_is_an_internal_error(world: World) -> None:
    world.hooks["do one"] = fail(ZeroDivisionError("1/0 \x1b[31m"))

    async def scenario() -> None:
        engine = world.engine()
        await engine.join(begin(engine))

    with pytest.raises(errors.InternalError, match="ZeroDivisionError") as caught:
        asyncio.run(scenario())
    assert "\x1b" not in str(caught.value)


def test_undoing_goes_on_past_failures_and_joins_them(world: World) -> None:
    world.hooks["do three"] = fail(errors.TimedOut(what="it", seconds=1))
    world.hooks["undo three"] = fail(OSError("stuck"))
    world.hooks["undo two"] = fail(errors.ToolFailed(tool="t", status="1", detail="no"))

    async def scenario() -> Operation:
        engine = world.engine()
        key = begin(engine)
        with pytest.raises(errors.TimedOut, match="stuck"):
            await engine.join(key)
        return engine.operation(key)

    ended = asyncio.run(scenario())
    assert world.journal[-3:] == ["undo three", "undo two", "undo one"]
    assert ended.error is not None
    assert ended.error.data["undo"] == ["three: stuck", "two: t failed (1): no"]
    assert ended.error.data["left"] == ["entry three", "entry two"]


def test_an_undo_that_a_full_disk_kept_is_made_again_when_the_others_have_made_room(world: World) -> None:
    def full_until_one_is_undone(step: Step, report: Report) -> None:
        if "undo one" not in world.journal:
            raise errors.DiskFull(path="/d")

    world.hooks["do three"] = fail(errors.DiskFull(path="/d"))
    world.hooks["undo two"] = full_until_one_is_undone

    async def scenario() -> Operation:
        engine = world.engine()
        operation = begin(engine)
        with pytest.raises(errors.DiskFull):
            await engine.join(operation)
        return engine.operation(operation)

    ended = asyncio.run(scenario())
    assert world.made == set()
    assert ended.error is not None and "undo" not in ended.error.data


def test_cancelling_interrupts_the_task_and_undoes_even_when_asked_twice(world: World) -> None:
    async def scenario() -> Operation:
        engine = world.engine()
        reached, undoing, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def hang(step: Step, report: Report) -> None:
            reached.set()
            try:
                await asyncio.Event().wait()
            finally:
                ending.set()
                await end.wait()
                world.journal.append("end two")

        async def slow(step: Step, report: Report) -> None:
            undoing.set()
            await go_on.wait()

        ending, end = asyncio.Event(), asyncio.Event()
        world.hooks.update({"do two": hang, "undo two": slow})
        key = begin(engine)
        await reached.wait()
        engine.cancel(key)
        await ending.wait()
        engine.cancel(key)
        end.set()
        await undoing.wait()
        assert engine.cancel(key).state == "undoing"
        go_on.set()
        with pytest.raises(errors.Cancelled):
            await engine.join(key)
        assert engine.cancel(key).state == "cancelled"
        return engine.operation(key)

    ended = asyncio.run(scenario())
    assert world.journal == ["do one", "do two", "end two", "undo two", "undo one"]
    assert ended.state == "cancelled"
    assert ended.error is not None
    assert ended.error.code == "cancelled"
    assert world.made == set()


def test_a_task_that_fails_because_it_was_cancelled_counts_as_cancelled(world: World) -> None:
    async def scenario() -> None:
        engine = world.engine()
        reached = asyncio.Event()

        async def killed_child(step: Step, report: Report) -> None:
            reached.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise errors.ToolFailed(tool="child", status="signal 9", detail="") from None

        world.hooks["do one"] = killed_child
        key = begin(engine)
        await reached.wait()
        engine.cancel(key)
        await engine.join(key)

    with pytest.raises(errors.Cancelled):
        asyncio.run(scenario())


def test_cancelling_before_the_first_task_does_nothing_at_all(world: World) -> None:
    async def scenario() -> Operation:
        engine = world.engine()
        key = begin(engine)
        engine.cancel(key)
        with pytest.raises(errors.Cancelled):
            await engine.join(key)
        return engine.operation(key)

    assert asyncio.run(scenario()).state == "cancelled"
    assert world.made == set()
    assert not [entry for entry in world.journal if entry.startswith("do")]


def test_a_task_that_ignores_the_cancellation_is_undone_after_its_end(world: World) -> None:
    async def scenario() -> None:
        engine = world.engine()
        reached = asyncio.Event()

        async def deaf(step: Step, report: Report) -> None:
            reached.set()
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                return

        world.hooks["do one"] = deaf
        key = begin(engine)
        await reached.wait()
        engine.cancel(key)
        await engine.join(key)

    with pytest.raises(errors.Cancelled):
        asyncio.run(scenario())
    assert world.journal == ["do one", "undo one"]


def test_a_kind_that_only_goes_forward_refuses_to_be_cancelled(world: World) -> None:
    async def scenario() -> Operation:
        engine = world.engine()
        go_on = asyncio.Event()
        world.hooks["do one"] = wait_for(go_on)
        key = begin(engine, "thing.stubborn")
        with pytest.raises(errors.UsageError, match="cannot be cancelled"):
            engine.cancel(key)
        go_on.set()
        return await engine.join(key)

    assert asyncio.run(scenario()).state == "done"


def test_a_subject_is_in_one_change_at_a_time_and_free_at_its_end(world: World) -> None:
    async def scenario() -> None:
        engine = world.engine()
        go_on = asyncio.Event()
        world.hooks["do one"] = wait_for(go_on)
        first = begin(engine)
        with pytest.raises(errors.Busy, match=r"'a'.*thing\.make"):
            begin(engine, "thing.finish")
        assert engine.under_way("id-a") == engine.operation(first)
        other = begin(engine, subject="b")
        go_on.set()
        await engine.join(first)
        assert engine.under_way("id-a") is None
        again = begin(engine)  # at once, without a turn of the loop between
        await asyncio.gather(engine.join(again), engine.join(other))

    asyncio.run(scenario())


def test_every_follower_sees_the_end_and_a_slow_one_is_not_waited_for(world: World) -> None:
    async def scenario() -> tuple[list[Operation], list[Operation], list[Operation]]:
        engine = world.engine()
        followed, drawn = asyncio.Event(), asyncio.Event()

        async def chatter(step: Step, report: Report) -> None:
            await followed.wait()
            for number in range(20_000):
                report.progress(Progress(done=number, total=20_000))
            report.notice("half way")

        world.hooks["do two"] = chatter
        key = begin(engine)

        async def read(slow: bool) -> list[Operation]:
            seen = []
            async for state in engine.follow(key):
                seen.append(state)
                followed.set()
                if slow:
                    await drawn.wait()
            return seen

        async def finish() -> list[Operation]:
            await engine.join(key)
            drawn.set()
            return [state async for state in engine.follow(key)]

        return await asyncio.gather(read(False), read(True), finish())

    quick, slow, late = asyncio.run(scenario())
    assert quick[-1] == slow[-1] == late[0]
    assert quick[-1].notices == ["half way"]
    assert len(slow) == 2
    assert len(late) == 1
    assert len(quick) < 100  # twenty thousand steps of progress are drawn together


def test_reports_may_come_from_a_thread_and_facts_are_on_disk_when_recorded(world: World) -> None:
    async def scenario() -> Operation:
        engine = world.engine()

        def work(step: Step, report: Report) -> None:
            assert threading.current_thread() is not threading.main_thread()
            report.stage("in a \x1b[1mthread")
            report.notice("from afar")
            report.record(pid=7)
            report.record(ticks=9)

        async def act(step: Step, report: Report) -> None:
            await asyncio.to_thread(work, step, report)
            assert step.recorded == {"pid": 7, "ticks": 9}
            twin = world.engine()
            (stored,) = twin._store.unended()
            assert stored.tasks[0].facts == {"pid": 7, "ticks": 9}

        world.hooks["do one"] = act
        return await engine.join(begin(engine))

    ended = asyncio.run(scenario())
    assert ended.notices == ["from afar"]


def test_ended_changes_are_found_by_id_and_old_ones_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("banger.store.operations.KEPT", 3)

    async def scenario() -> tuple[list[str], list[Operation]]:
        engine = world.engine()
        keys = []
        for _ in range(5):
            keys.append(begin(engine, names={"names": []}))
            await engine.join(keys[-1])
        assert engine.operation(keys[-1][:6]).id == keys[-1]
        for unknown in ("", "f", keys[0]):
            with pytest.raises(errors.NotFound, match="no operation"):
                engine.operation(unknown)
        return keys, engine.operations()

    keys, listed = asyncio.run(scenario())
    assert [each.id for each in listed] == list(reversed(keys[2:]))


def test_what_cannot_be_recorded_is_not_begun(world: World) -> None:
    async def scenario() -> None:
        engine = world.engine()
        pages = engine._store._database.rows("PRAGMA page_count")[0][0]
        engine._store._database.rows(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(errors.DiskFull):
            engine.begin("thing.make", subject="a", subject_id="a", spec={**NAMES, "padding": "x" * 100_000})
        assert engine.under_way("a") is None

    asyncio.run(scenario())
    assert world.journal == []


def test_when_the_record_fails_midway_everything_made_is_removed(world: World) -> None:
    async def scenario() -> None:
        engine = world.engine()

        def fill(step: Step, report: Report) -> None:
            database = engine._store._database
            database.rows(f"PRAGMA max_page_count = {database.rows('PRAGMA page_count')[0][0]}")
            report.record(padding="x" * 100_000)

        world.hooks["do two"] = fill
        await engine.join(begin(engine))

    with pytest.raises(errors.DiskFull):
        asyncio.run(scenario())
    assert world.made == set()


def test_a_plan_must_give_tasks_of_distinct_names(world: World) -> None:
    async def scenario() -> None:
        begin(world.engine(), names={"names": ["same", "same"]})

    with pytest.raises(RuntimeError, match="same"):
        asyncio.run(scenario())


def test_the_protocol_is_what_tasks_are_made_to(world: World) -> None:
    step: Task = Step(world, "x")
    assert step.resource is not None


@pytest.mark.parametrize("years", [-30, 30])
def test_a_clock_that_jumps_by_years_changes_no_duration(
    world: World, monkeypatch: pytest.MonkeyPatch, years: int
) -> None:
    now = time.time()

    def jump(step: Step, report: Report) -> None:
        monkeypatch.setattr(time, "time", lambda: now + years * 365 * 86400)

    world.hooks["do two"] = jump

    async def scenario() -> tuple[Operation, Operation]:
        engine = world.engine()
        first = await engine.join(begin(engine))
        return first, await engine.join(begin(engine, subject="b"))

    for ended in asyncio.run(scenario()):
        assert ended.state == "done"
        assert ended.finished is not None and 0 <= ended.finished - ended.started < 60
        assert all(0 <= phase.seconds < 60 for phase in ended.phases)
