"""Which kernel is meant, which is the default, and that a used one stays."""

import asyncio
import hashlib
from pathlib import Path

import msgspec
import pytest

from banger import errors
from banger.api.kernel import ImportKernel, PullKernel
from banger.config import settings
from banger.engine.engine import Engine
from banger.kernels import kernel
from banger.kernels.making import Made, Publish
from banger.kernels.service import DISTRIBUTION, KernelService
from banger.paths import Paths
from banger.store.database import Database


class World:
    def __init__(self, root: Path, **configured: object) -> None:
        self.paths = Paths(*(str(root / each) for each in ("config", "state", "cache", "run")))
        self.engine = Engine(Database(str(root / "banger.db")))
        agent = root / "agent"
        agent.write_bytes(b"agent")
        self.kernels = KernelService(self.engine, self.paths, settings.build(configured), str(agent))

    def add(self, name: str, created: float = 0.0, where: str | None = None) -> Path:
        directory = Path(where or self.paths.kernel(name))
        directory.mkdir(parents=True)
        record = kernel.Kernel(
            name=name,
            release="6.1.0",
            arch="x86_64",
            source="a test",
            created=created,
            agent=hashlib.sha256(b"agent").hexdigest(),
            modules_size=0,
            files={"vmlinux": kernel.File(7, "")},
        )
        (directory / kernel.RECORD).write_bytes(msgspec.json.encode(record))
        (directory / "mark").write_text(str(created))
        return directory


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_default_is_the_distributions_else_the_newest(world: World, tmp_path: Path) -> None:
    assert world.kernels.default() == DISTRIBUTION
    world.add("old", 1.0)
    world.add("new", 2.0)
    assert world.kernels.default() == "new"
    world.add(DISTRIBUTION, 0.5)
    assert world.kernels.default() == DISTRIBUTION
    assert {each.name: each.default for each in world.kernels.list()} == {
        DISTRIBUTION: True,
        "new": False,
        "old": False,
    }
    (tmp_path / "other").mkdir()
    assert World(tmp_path / "other", default_kernel="chosen").kernels.default() == "chosen"


@pytest.mark.parametrize("name", ["absent", "..", ".", "../kernels/old", "", "/etc"])
def test_what_is_not_there_is_not_found(world: World, name: str) -> None:
    world.add("old")
    with pytest.raises(errors.NotFound):
        world.kernels.show(name)


def test_a_directory_without_a_record_is_no_kernel(world: World) -> None:
    world.add("good")
    Path(world.paths.kernel("broken")).mkdir()
    assert [each.name for each in world.kernels.list()] == ["good"]


def test_bad_requests_begin_nothing(world: World, tmp_path: Path) -> None:
    world.add("taken")

    async def run() -> None:
        with pytest.raises(errors.InvalidName):
            await world.kernels.pull(PullKernel(name="../x"))
        with pytest.raises(errors.AlreadyExists):
            await world.kernels.import_directory(ImportKernel(name="taken", path=str(tmp_path)))
        with pytest.raises(errors.UsageError):
            await world.kernels.import_directory(ImportKernel(name="a", path="relative"))
        with pytest.raises(errors.NotAKernel):
            await world.kernels.import_directory(ImportKernel(name="a", path=str(tmp_path / "absent")))
        with pytest.raises(errors.NotFound):
            await world.kernels.delete("absent")

    asyncio.run(run())
    assert world.engine.operations() == []


def test_a_used_kernel_is_not_deleted_and_an_unused_one_is(world: World) -> None:
    directory = world.add("mine")
    users = ["one"]
    world.kernels.guard(lambda name: users if name == "mine" else [])

    async def run() -> None:
        with pytest.raises(errors.InUse, match="one"):
            await world.kernels.delete("mine")
        users.clear()
        await world.engine.join((await world.kernels.delete("mine")).id)

    asyncio.run(run())
    assert not directory.exists() and world.kernels.list() == []


def test_pulling_what_is_here_changes_nothing_and_says_so(world: World) -> None:
    world.add(DISTRIBUTION)

    async def run() -> None:
        operation = await world.engine.join((await world.kernels.pull(PullKernel())).id)
        assert any("here already" in each for each in operation.notices)

    asyncio.run(run())


def test_a_failed_import_leaves_nothing(world: World, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    async def run() -> None:
        operation = await world.kernels.import_directory(ImportKernel(name="a", path=str(tmp_path / "empty")))
        with pytest.raises(errors.NotAKernel):
            await world.engine.join(operation.id)

    asyncio.run(run())
    assert world.kernels.list() == [] and list(Path(world.paths.staging).iterdir()) == []


class Steps:
    """A `Report` that stops a task at a chosen fact or keeps what it records."""

    operation = "x"

    def __init__(self, task: Publish) -> None:
        self.task = task

    def stage(self, text: str) -> None:
        pass

    def progress(self, progress: object) -> None:
        pass

    def notice(self, text: str) -> None:
        pass

    def result(self, **values: int | str) -> None:
        pass

    def record(self, **facts: object) -> None:
        self.task.recorded = facts


@pytest.mark.parametrize("present", [False, True])
@pytest.mark.parametrize("renames", [0, 1, 2, 3])
def test_replacing_can_be_undone_after_a_death_at_any_rename(
    world: World, monkeypatch: pytest.MonkeyPatch, present: bool, renames: int
) -> None:
    import os

    if present:
        world.add("mine", 1.0)
    made = Made("mine", "kernel-x")
    world.add("mine", 2.0, where=os.path.join(world.paths.staging, made.staging))
    task = Publish(world.paths, made)
    real, left = os.rename, [renames]

    class Died(BaseException):
        pass

    def rename(source: str, target: str) -> None:
        if left[0] == 0:
            raise Died
        left[0] -= 1
        real(source, target)

    async def die() -> None:
        monkeypatch.setattr("os.rename", rename)
        try:
            await task.do(Steps(task))
        except Died:
            pass
        finally:
            monkeypatch.setattr("os.rename", real)

    asyncio.run(die())
    again = Publish(world.paths, made)
    again.recorded = task.recorded
    asyncio.run(again.undo(Steps(again)))
    asyncio.run(again.undo(Steps(again)))  # a death in the middle of undoing does it twice
    marks = [(Path(world.paths.kernel(each.name)) / "mark").read_text() for each in world.kernels.all()]
    gone = present and renames == 3
    assert marks == (["2.0"] if gone else ["1.0"] if present else [])
