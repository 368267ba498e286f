"""One change for many who wait."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from banger import errors
from banger.api.operation import Operation, Progress
from banger.engine.change import Kind, Report, Resource
from banger.engine.engine import Engine
from banger.engine.sharing import Sharing
from banger.store.database import Database


class Work:
    """A task that waits to be let go."""

    name = "work"
    resource: Resource | None = None
    recorded: Mapping[str, object] = {}

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.failure: errors.BangerError | None = None

    async def do(self, report: Report) -> None:
        report.notice("told")
        await self.go.wait()
        if self.failure is not None:
            raise self.failure

    async def undo(self, report: Report) -> None:
        pass


class Heard:
    """A `Report` that keeps what it is told."""

    operation = "outer"

    def __init__(self) -> None:
        self.notices: list[str] = []

    def stage(self, text: str) -> None:
        pass

    def progress(self, progress: Progress | None) -> None:
        pass

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def result(self, **values: int | str) -> None:
        pass

    def record(self, **facts: object) -> None:
        pass


class Scene:
    def __init__(self, path: Path) -> None:
        self.engine = Engine(Database(str(path / "banger.db")))
        self.work = Work()
        self.begun = 0
        self.engine.register(Kind("thing.make", lambda spec: [self.work]))
        self.sharing = Sharing(self.engine)

    def begin(self) -> Operation:
        self.begun += 1
        return self.engine.begin("thing.make", subject="it", subject_id="it", spec={})

    def waiter(self, heard: Heard | None = None) -> asyncio.Task[None]:
        return asyncio.create_task(self.sharing.wait("it", self.begin, heard or Heard()))


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_it_is_begun_once_and_everybody_hears_it(tmp_path: Path) -> None:
    async def run() -> None:
        scene, heard = Scene(tmp_path), [Heard(), Heard(), Heard()]
        waiters = [scene.waiter(each) for each in heard]
        await settle()
        scene.work.go.set()
        await asyncio.gather(*waiters)
        assert scene.begun == 1
        assert [each.notices for each in heard] == [["told"]] * 3

    asyncio.run(run())


def test_its_failure_is_everybodys(tmp_path: Path) -> None:
    async def run() -> None:
        scene = Scene(tmp_path)
        scene.work.failure = errors.DiskFull(path="/there")
        scene.work.go.set()
        results = await asyncio.gather(scene.waiter(), scene.waiter(), return_exceptions=True)
        assert [type(each) for each in results] == [errors.DiskFull] * 2

    asyncio.run(run())


def test_the_last_who_gives_up_cancels_it(tmp_path: Path) -> None:
    async def run() -> None:
        scene = Scene(tmp_path)
        first, second = scene.waiter(), scene.waiter()
        await settle()
        first.cancel()
        await settle()
        under_way = scene.engine.under_way("it")
        assert under_way is not None and under_way.state == "running"
        second.cancel()
        with pytest.raises(errors.Cancelled):
            await scene.engine.join(under_way.id)

    asyncio.run(run())


def test_one_that_is_wanted_for_itself_goes_on(tmp_path: Path) -> None:
    async def run() -> None:
        scene = Scene(tmp_path)
        waiter = scene.waiter()
        await settle()
        under_way = scene.engine.under_way("it")
        assert under_way is not None
        scene.sharing.adopt(under_way)
        waiter.cancel()
        await settle()
        scene.work.go.set()
        assert (await scene.engine.join(under_way.id)).state == "done"

    asyncio.run(run())


def test_one_that_somebody_else_began_is_not_ours_to_cancel(tmp_path: Path) -> None:
    async def run() -> None:
        scene = Scene(tmp_path)
        operation = scene.begin()
        waiter = scene.waiter()
        await settle()
        waiter.cancel()
        await settle()
        scene.work.go.set()
        assert (await scene.engine.join(operation.id)).state == "done"
        assert scene.begun == 1

    asyncio.run(run())


def test_when_whoever_began_it_cancels_it_those_who_wait_begin_it_anew(tmp_path: Path) -> None:
    async def run() -> None:
        scene, heard = Scene(tmp_path), Heard()
        operation = scene.begin()
        waiters = [scene.waiter(heard), scene.waiter()]
        await settle()
        scene.engine.cancel(operation.id)
        with pytest.raises(errors.Cancelled):
            await scene.engine.join(operation.id)
        scene.work.go.set()
        await asyncio.gather(*waiters)
        assert scene.begun == 2
        assert any("has cancelled it" in each for each in heard.notices)

    asyncio.run(run())


def test_one_that_was_begun_for_those_who_wait_is_cancelled_for_all_of_them(tmp_path: Path) -> None:
    async def run() -> None:
        scene = Scene(tmp_path)
        waiters = [scene.waiter(), scene.waiter()]
        await settle()
        under_way = scene.engine.under_way("it")
        assert under_way is not None
        scene.engine.cancel(under_way.id)
        results = await asyncio.gather(*waiters, return_exceptions=True)
        assert [type(each) for each in results] == [errors.Cancelled] * 2 and scene.begun == 1

    asyncio.run(run())
