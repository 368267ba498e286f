"""What there is to die in: every kind of change that a daemon registers, and the tasks of each, told by the engine."""

import asyncio
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path

from banger.config import settings
from banger.daemon.wiring import unwire, wire
from banger.engine.change import Kind
from banger.paths import Paths
from tests.matrix.instants import Planned
from tests.matrix.scenario import Scenario
from tests.matrix.scenarios import all_scenarios, machines

ROOMS = ("banger.vms", "banger.images", "banger.kernels", "banger.builds")
"""Where tasks are."""


def kinds(directory: Path) -> dict[str, Kind]:
    """The kinds of an engine that a daemon has wired, in directories below ``directory``."""

    async def look() -> dict[str, Kind]:
        paths = Paths(*(str(directory / each) for each in ("config", "state", "cache", "runtime")))
        services = await wire(paths, settings.build({}))
        try:
            return dict(services.engine._kinds)
        finally:
            await unwire(services)

    return asyncio.run(look())


def tasks(known: dict[str, Kind], scenario: Scenario) -> list[Planned]:
    """A scenario's tasks, in order."""
    return [
        Planned(each.name, each.resource is not None and each.resource.kind == "process")
        for each in known[scenario.kind].plan(scenario.spec)
    ]


def planned(known: dict[str, Kind]) -> set[type]:
    """The classes of all tasks that some scenario has, those of machines in jails included."""
    found: set[type] = set()
    for scenario in [*all_scenarios(), *machines(jailed=True)]:
        for each in known[scenario.kind].plan(scenario.spec):
            found |= {type(each), type(getattr(each, "inner", each))}
    return found


def task_classes() -> Iterator[type]:
    """Every class of the product that is a task: it can be done and undone, and has a name."""
    for room in ROOMS:
        package = importlib.import_module(room)
        for module in pkgutil.iter_modules(package.__path__, f"{room}."):
            for _, found in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
                if found.__module__ == module.name and {"do", "undo"} <= set(dir(found)) and _named(found):
                    yield found


def _named(task: type) -> bool:
    return isinstance(getattr(task, "name", None), str) or "name" in inspect.getsource(task).partition("def do")[0]
