"""Real processes that are gone between two instructions of a change, and the engine that finds what they left."""

import asyncio
import os
from pathlib import Path

import pytest

from banger import errors
from banger.api.operation import Operation
from banger.engine.change import Report
from banger.store.database import Database
from banger.store.operations import Operations
from tests.unit.engine.conftest import Step, World

NAMES = ["one", "two", "three"]


def child(world: World) -> None:
    """Run a change in a process of its own, which ends in the middle of a task without a word."""

    async def scenario() -> None:
        engine = world.engine()
        await engine.join(engine.begin("thing.make", subject="a", subject_id="a", spec={"names": NAMES}).id)

    try:
        asyncio.run(scenario())
    finally:
        os._exit(1)  # never back into the test's own stack


def full(step: Step, report: Report) -> None:
    raise errors.DiskFull(path="/d")


@pytest.mark.parametrize("boundary", [f"{way} {name}" for way in ("do", "undo") for name in NAMES])
def test_a_process_that_is_gone_between_two_instructions_is_recovered(tmp_path: Path, boundary: str) -> None:
    world = World(tmp_path / "banger.db")
    way, name = boundary.split()
    if way == "undo":
        world.hooks["do three"] = full
    world.hooks[boundary] = lambda step, report: os._exit(7)
    pid = os.fork()
    if pid == 0:
        child(world)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7

    world.hooks.clear()
    world.made.update(NAMES)
    (stored,) = Operations(Database(str(world.path))).unended()

    async def recover() -> Operation:
        engine = world.engine()
        await engine.recover()
        return engine.operation(stored.operation.id)

    ended = asyncio.run(recover())
    assert ended.state == "failed"
    assert ended.error is not None
    assert ended.error.code == ("interrupted" if way == "do" else "disk_full")
    assert world.journal == [f"undo {each}" for each in reversed(NAMES[: NAMES.index(name) + 1])]
