"""Which deaths are tried on a host: all of them where the whole matrix is asked for, otherwise a few.

The kinds come from the engine, as everywhere in the matrix; what a kind's tasks are where machines are in jails, too.
"""

import random
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from banger.engine.change import Kind
from tests.matrix import instants, listing
from tests.matrix.instants import WAYS, Instant
from tests.matrix.scenario import Scenario
from tests.matrix.scenarios import OF_PACKAGES, all_scenarios, by_name
from tests.matrix.slices import SEED, WHOLE

VICTIMS = ("daemon", "helper", "monitor")
FEW = 2
"""Moments, where not all are asked for."""

KEPT = "file /var/lib/banger/builds"
"""What changes leave on purpose: the transcript of a build."""


class Moment(NamedTuple):
    """A scenario, and an instant of it."""

    scenario: str
    tasks: list[str]
    instant: Instant

    def document(self) -> dict[str, Any]:
        """For the programs in the box (`tests.matrix.halt`)."""
        return self._asdict()

    def __str__(self) -> str:
        return f"{self.scenario}, {self.instant}"


class Walk(NamedTuple):
    """A scenario and a way, there or back; a sample chooses both."""

    scenario: str = ""
    way: str = ""

    def __str__(self) -> str:
        return "-".join(each.replace(" ", "_") for each in self if each) or "sample"


def scenarios() -> list[Scenario]:
    """All that the box can play: its daemon believes no archive of packages but Debian's, which is not there."""
    return [each for each in all_scenarios(jailed=True) if each.name not in OF_PACKAGES]


def victims(name: str) -> list[str]:
    """Who can die in a scenario: the helper and the monitor have a part where there is a machine."""
    scenario = by_name(name, jailed=True)
    return [each for each in VICTIMS if each == "daemon" or scenario.machine or scenario.guest]


def walks() -> list[Walk]:
    return [Walk(each.name, way) for each in scenarios() for way in WAYS] if WHOLE else [Walk()]


def of_walk(walk: Walk) -> list[Moment]:
    """Its moments, in the order of time; of a sample a few."""
    known = kinds()
    if walk.scenario:
        return [each for each in moments(known, walk.scenario) if each.instant.way == walk.way]
    chance = random.Random(f"{SEED} walk")
    found = moments(known, chance.choice([each.name for each in scenarios() if each.machine]))
    way = chance.choice(WAYS)
    found = [each for each in found if each.instant.way == way]
    return [found[each] for each in sorted(chance.sample(range(len(found)), FEW))]


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
    scenario = by_name(name, jailed=True)
    tasks = listing.tasks(known, scenario)
    return [Moment(name, [each.name for each in tasks], each) for each in instants.distinct(tasks)]
