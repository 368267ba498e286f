"""Tasks that act on a plain journal of events, over a real store."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from banger.engine.change import Kind, Recovery, Report, Resource, Spec, Task
from banger.engine.engine import Engine
from banger.store.database import Database


class Made:
    """What a `Step` makes."""

    def __init__(self, identity: str) -> None:
        self.kind = "entry"
        self.identity = identity


class Step:
    """A task whose acts are entries in a journal, and whose behaviour a test replaces."""

    def __init__(self, world: "World", name: str) -> None:
        self.name = name
        self.resource: Resource | None = Made(name)
        self.recorded: Mapping[str, object] = {}
        self._world = world

    async def do(self, report: Report) -> None:
        self._world.journal.append(f"do {self.name}")
        await self._world.act(f"do {self.name}", self, report)
        self._world.made.add(self.name)

    async def undo(self, report: Report) -> None:
        self._world.journal.append(f"undo {self.name}")
        await self._world.act(f"undo {self.name}", self, report)
        self._world.made.discard(self.name)


class World:
    """What exists outside of the engine, and stays when a daemon dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal: list[str] = []
        self.made: set[str] = set()
        self.hooks: dict[str, Callable[[Step, Report], object]] = {}

    async def act(self, name: str, step: Step, report: Report) -> None:
        if name in self.hooks:
            result = self.hooks[name](step, report)
            if asyncio.iscoroutine(result):
                await result

    def plan(self, spec: Spec) -> Sequence[Task]:
        names = spec["names"]
        assert isinstance(names, list)
        return [Step(self, str(name)) for name in names]

    def engine(self) -> Engine:
        """A new engine on the store, as a new daemon has it."""
        engine = Engine(Database(str(self.path)))
        engine.register(Kind("thing.make", self.plan))
        engine.register(Kind("thing.finish", self.plan, recovery=Recovery.RESUME))
        engine.register(Kind("thing.stubborn", self.plan, cancellable=False))
        return engine


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "banger.db")
