"""Run by the matrix: one scenario's deaths, one after another, in a world of its own. Says what it did, a line each.

``python -m tests.matrix.scene SCENARIO DRIVER``. Each line is a JSON object with the instant and the faults that were
found, if any; after a fault the world is made anew.
"""

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from banger import errors
from tests.matrix import instants, listing
from tests.matrix.instants import Instant, Planned
from tests.matrix.mortal import Aim
from tests.matrix.scenarios import Facts, Scenario, by_name
from tests.matrix.world import Failed, World, world


class Told(NamedTuple):
    """A combination, and what was wrong."""

    scenario: str
    driver: str
    victim: str
    instant: str
    damage: str
    seconds: float
    faults: list[str]


class Before(NamedTuple):
    """The world as a combination finds it. ``last`` is the latest change of its kind."""

    facts: Facts
    ids: frozenset[str]
    last: str


class Combination(NamedTuple):
    scenario: Scenario
    tasks: Sequence[Planned]
    instant: Instant
    damage: str = ""

    def aim(self, monitors: str = "") -> Aim:
        return Aim(self.scenario.kind, self.instant, self.tasks[-1].name, monitors)


def death(made: World, combination: Combination) -> list[str]:
    """Kill a daemon at an instant; what the next one, which knows nothing of it, has not put right."""
    scenario = combination.scenario
    before = prepared(made, scenario)
    made.end()
    made.start(combination.aim())
    with contextlib.suppress(errors.BangerError):  # it may die before it has answered
        scenario.begin(made)
    if not made.died():
        raise Failed(f"the daemon did not die: {made.said()}")
    made.start()
    made.quiet()
    return [*judged(made, combination, before), *again(made, scenario)]


def prepared(made: World, scenario: Scenario) -> Before:
    """A world in which the verb makes sense, and what is to be seen there."""
    scenario.ready(made)
    made.quiet()
    last = made.last(scenario.kind)
    return Before(made.facts(), made.ids(), last.id if last is not None else "")


def judged(made: World, combination: Combination, before: Before) -> list[str]:
    """Whether the change was finished or undone as its kind says, and nothing else is there."""
    scenario, instant = combination.scenario, combination.instant
    found = made.faults()
    last = made.last(scenario.kind)
    if last is None or last.id == before.last:
        return [*found, "the change is not on record"]
    tasks = made.tasks(last.id)
    if tasks != [each.name for each in combination.tasks]:
        found.append(f"its tasks are {tasks}: the sample's are not those of a real change")
    turned = instant.way == "undo" and instant != Instant("undo", tasks[-1], "before")  # as far as the record knows
    finished = (scenario.onward and not turned) or instant == Instant("do", tasks[-1], "done")
    state = "done" if finished else "failed"
    if last.state != state:
        found.append(f"it is {last.state}, not {state}: {last.error}")
    allowed = [scenario.after(before.facts)] if finished else scenario.allowed(before.facts)
    if made.facts() not in allowed:
        found.append(f"there is {sorted(made.facts())} instead of {[sorted(each) for each in allowed]}")
    if made.facts() == before.facts and not finished and not scenario.onward and made.ids() != before.ids:
        found.append("what is there is not what was there")
    return [*found, *made.disks()]


def again(made: World, scenario: Scenario) -> list[str]:
    """Whether the same verb succeeds now."""
    before = prepared(made, scenario)
    try:
        made.done(scenario.begin(made))
    except errors.BangerError as error:
        return [f"the same verb fails: {error.message}"]
    made.quiet()
    found = made.faults()
    if made.facts() != scenario.after(before.facts):
        found.append(f"the same verb leaves {sorted(made.facts())}")
    if scenario.machine and any(each.state == "running" for each in made.machines()):
        made.machine("stopped")
    return [*found, *made.disks()]


def play(scenario: Scenario, driver: str, chosen: Sequence[Combination]) -> Iterator[Told]:
    """Every combination, in as few worlds as there are faults."""
    left = list(chosen)
    while left:
        with world(driver, scenario.supplies) as made:
            made.start()
            while left:
                combination = left.pop(0)
                begun = time.monotonic()
                try:
                    faults = death(made, combination)
                except (Failed, errors.BangerError, OSError) as error:
                    faults = [f"{type(error).__name__}: {error}"]
                if faults:
                    faults.append(made.said(3000))
                yield Told(
                    scenario.name, driver, "daemon", str(combination.instant), combination.damage,
                    round(time.monotonic() - begun, 2), faults,
                )  # fmt: skip
                if faults:
                    break


def main() -> None:
    name, driver = sys.argv[1], sys.argv[2]
    scenario = by_name(name)
    with tempfile.TemporaryDirectory() as directory:
        tasks = listing.tasks(listing.kinds(Path(directory)), scenario)
    chosen = [Combination(scenario, tasks, each) for each in instants.distinct(tasks)]
    for told in play(scenario, driver, chosen):
        print(json.dumps(told._asdict()), flush=True)


if __name__ == "__main__":
    main()
