"""Which deaths are tried on a host: all of them where the whole matrix is asked for, otherwise a few.

The kinds come from the engine, as everywhere in the matrix; what a kind's tasks are where machines are in jails, too.
"""

import random
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from banger.engine.change import Kind
from tests.matrix import instants, listing
from tests.matrix.instants import Instant
from tests.matrix.scenario import Scenario
from tests.matrix.scenarios import OF_PACKAGES, all_scenarios
from tests.matrix.slices import SEED, WHOLE

VICTIMS = ("daemon", "helper", "monitor")
FEW = 1
"""Instants of a death, where not all are asked for."""


class Moment(NamedTuple):
    """A scenario, and an instant of it."""

    scenario: str
    tasks: list[str]
    instant: Instant

    def document(self) -> dict[str, Any]:
        """For the programs in the box."""
        return self._asdict()

    def __str__(self) -> str:
        return f"{self.scenario}, {self.instant}"


class Death(NamedTuple):
    """Who dies, and in which scenario; a sample chooses one."""

    victim: str
    scenario: str

    def __str__(self) -> str:
        return "-".join(each.replace(" ", "_") for each in self if each)


def scenarios() -> list[Scenario]:
    """All that the box can play: its daemon believes no archive of packages but Debian's, which is not there."""
    return [each for each in all_scenarios(jailed=True) if each.name not in OF_PACKAGES]


def mortal(victim: str) -> list[str]:
    """Scenarios in which somebody can die: the helper and the monitor have a part where there is a machine."""
    return [each.name for each in scenarios() if victim == "daemon" or each.machine or each.guest]


def deaths() -> list[Death]:
    if WHOLE:
        return [Death(victim, name) for victim in VICTIMS for name in mortal(victim)]
    return [Death(victim, "") for victim in VICTIMS]


def of_death(death: Death) -> list[Moment]:
    """The instants at which that death comes."""
    known = kinds()
    if death.scenario:
        return moments(known, death.scenario)
    chance = random.Random(f"{SEED} {death.victim}")
    machines = [each.name for each in scenarios() if each.machine]
    found = moments(known, chance.choice(machines))
    return chance.sample(found, FEW)


def of_cuts(count: int) -> list[Moment]:
    """One of each scenario as far as the count goes, then more, in no order."""
    known, chance = kinds(), random.Random(f"{SEED} power")
    every = {each.name: moments(known, each.name) for each in scenarios()}
    first = [chance.choice(found) for found in every.values()]
    chance.shuffle(first)
    rest = [each for found in every.values() for each in found if each not in first]
    return (first + chance.sample(rest, max(0, count - len(first))))[:count]


def kinds() -> dict[str, Kind]:
    with tempfile.TemporaryDirectory() as directory:
        return listing.kinds(Path(directory))


def moments(known: dict[str, Kind], name: str) -> list[Moment]:
    """Every instant of a scenario."""
    (scenario,) = [each for each in scenarios() if each.name == name]
    tasks = listing.tasks(known, scenario)
    return [Moment(name, [each.name for each in tasks], each) for each in instants.distinct(tasks)]
