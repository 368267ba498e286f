"""Whatever fails and whenever daemons die: a change ends, and leaves all that it makes or nothing."""

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from banger import errors
from banger.engine.change import Report
from banger.store.database import Database
from banger.store.operations import Operations
from tests.unit.engine.conftest import Step, World

NAMES = ["one", "two", "three"]
ACTS = [f"{way} {name}" for way in ("do", "undo") for name in NAMES]


class Death(BaseException):
    """A daemon's end."""


def behave(world: World, act: str, how: str, seen: set[str]) -> Callable[[Step, Report], None]:
    """``fail`` always; ``die before`` and ``die after`` the act the first time only, or nothing would ever end."""

    def run(step: Step, report: Report) -> None:
        if how == "fail":
            raise errors.DiskFull(path=act)
        if act in seen:
            return
        seen.add(act)
        if how == "die after":
            (world.made.add if act.startswith("do") else world.made.discard)(step.name)
        raise Death

    return run


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["thing.make", "thing.finish"]),
    plan=st.dictionaries(st.sampled_from(ACTS), st.sampled_from(["fail", "die before", "die after"])),
)
def test_a_change_is_whole_or_nothing(kind: str, plan: dict[str, str]) -> None:
    undo_fails = any(act.startswith("undo") and how == "fail" for act, how in plan.items())

    async def scenario(world: World) -> str:
        engine = world.engine()
        key = engine.begin(kind, subject="a", subject_id="a", spec={"names": NAMES}).id
        for _ in range(len(ACTS) + 1):
            try:
                await engine.join(key)
            except errors.Interrupted:
                pass
            except errors.BangerError:
                break
            ended = engine.operation(key)
            if ended.ended:
                break
            engine = world.engine()
            await engine.recover()
        assert Operations(Database(str(world.path))).unended() == []
        return engine.operation(key).state

    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory, "banger.db"))
        seen: set[str] = set()
        for act, how in plan.items():
            world.hooks[act] = behave(world, act, how, seen)
        state = asyncio.run(scenario(world))
    if state == "done":
        assert world.made == set(NAMES)
    elif not undo_fails:
        assert state == "failed"
        assert world.made == set()
