"""Run by the matrix: one scenario's deaths, one after another, in a world of its own. Says what it did, a line each.

``python -m tests.matrix.scene SCENARIO DRIVER``, with options that `main` has. Each line is a JSON object with the
instant and the faults that were found, if any; after a fault the world is made anew. What has a disk that is full runs
in a mount namespace. What happens on a whole host is played by `walk`, and judged as here.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from banger import errors
from tests.matrix import instants, listing
from tests.matrix.damage import BOTH, DAMAGES, EACH, FULL, TWICE
from tests.matrix.instants import Instant, Planned
from tests.matrix.judge import Failed
from tests.matrix.mortal import Aim
from tests.matrix.scenario import Facts, Scenario
from tests.matrix.scenarios import by_name
from tests.matrix.witness import MACHINE, Witness
from tests.matrix.world import World, world

ROOM = {"fake": 48 << 20, "qemu": 640 << 20}
"""Of a state directory whose disk is to be full: a real kernel takes more of it than any machine."""


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

    @property
    def turned(self) -> bool:
        """Whether the change is on record as going back."""
        return self.instant.way == "undo" and self.instant != Instant("undo", self.tasks[-1].name, "before")

    def aim(self) -> Aim:
        return Aim(self.scenario.kind, [self.instant], self.tasks[-1].name)


def death(made: World, combination: Combination, victim: str) -> list[str]:
    """Kill a daemon at an instant; what the next one, which knows nothing of it, has not put right."""
    scenario = combination.scenario
    before = prepared(made, scenario)
    made.end()
    made.start(combination.aim())
    with contextlib.suppress(errors.BangerError):  # it may die before it has answered
        scenario.begin(made)
    if not made.died(scenario.seconds):
        raise Failed(f"the daemon did not die: {made.said()}")
    DAMAGES[combination.damage](made)
    if combination.damage == TWICE:
        die_again(made, combination)
    return recovered(made, combination, before)


def recovered(made: Witness, combination: Combination, before: Before) -> list[str]:
    """What the next daemon has not put right, or what does not go any more."""
    made.start()
    made.quiet()
    judge = damaged if combination.damage in (FULL, BOTH) else judged
    return [*judge(made, combination, before), *again(made, combination.scenario)]


def die_again(made: World, combination: Combination) -> None:
    """Kill the daemon that recovers too, as late as can be: when the last task has been done, or the first undone."""
    scenario, tasks = combination.scenario, combination.tasks
    turned = combination.turned or not scenario.onward
    late = Instant("undo", tasks[0].name, "acted") if turned else Instant("do", tasks[-1].name, "acted")
    made.start(Aim(scenario.kind, [late], tasks[-1].name))
    with contextlib.suppress(errors.DaemonUnreachable):
        made.quiet()
    if not made.died(1.0):  # nothing was left to do: the change had ended, or had not begun
        made.end()


def loss(made: World, combination: Combination, victim: str) -> list[str]:
    """Kill the machine's monitor at an instant, while the daemon lives; what is wrong afterwards."""
    scenario = combination.scenario
    before = prepared(made, scenario)
    made.end()
    made.start(combination.aim(), victim)
    with contextlib.suppress(errors.BangerError):
        made.done(scenario.begin(made))
    return survived(made, scenario, before)


def survived(made: Witness, scenario: Scenario, before: Before) -> list[str]:
    """What a daemon has not put right that saw somebody else die, or what does not go any more."""
    made.quiet()
    found = [*made.faults(), *made.disks()]
    last = made.last(scenario.kind)
    if last is None or last.id == before.last or last.state not in ("done", "failed"):
        found.append(f"the change did not come to an end: {last}")
    elif last.error is not None and last.error.code == errors.InternalError.code:
        found.append(f"its error is of no type: {last.error.message}")
    present = [each.state for each in made.client.vm_list().vms]
    if present and present != ["running"]:
        made.done(made.client.vm_start(MACHINE))
        found += made.faults()
    made.machine("absent")
    return [*found, *made.faults()]


def prepared(made: Witness, scenario: Scenario) -> Before:
    """A world in which the verb makes sense, and what is to be seen there."""
    scenario.ready(made)
    made.quiet()
    last = made.last(scenario.kind)
    return Before(made.facts(), made.ids(), last.id if last is not None else "")


def judged(
    made: Witness, combination: Combination, before: Before, settled: Callable[[Facts], Facts] = lambda facts: facts
) -> list[str]:
    """Whether the change was finished or undone as its kind says, and nothing else is there.

    ``settled`` is what became of the facts by the same misfortune.
    """
    scenario, instant = combination.scenario, combination.instant
    found = made.faults()
    last = made.last(scenario.kind)
    if last is None or last.id == before.last:
        return [*found, "the change is not on record"]
    tasks = made.tasks(last.id)
    if tasks != [each.name for each in combination.tasks]:
        found.append(f"its tasks are {tasks}: the sample's are not those of a real change")
    finished = (scenario.onward and not combination.turned) or instant == Instant("do", tasks[-1], "done")
    state = "done" if finished else "failed"
    if last.state != state:
        found.append(f"it is {last.state}, not {state}: {last.error}")
    allowed = [scenario.after(before.facts)] if finished else scenario.allowed(before.facts)
    if made.facts() not in map(settled, allowed):
        found.append(f"there is {sorted(made.facts())} instead of {[sorted(settled(each)) for each in allowed]}")
    if made.facts() == settled(before.facts) and not finished and not scenario.onward and made.ids() != before.ids:
        found.append("what is there is not what was there")
    return [*found, *made.disks()]


def damaged(made: Witness, combination: Combination, before: Before) -> list[str]:
    """Where no one end is the right one: what is on record is what there is, and of both records' loss nothing stays.

    A disk that is set aside is looked at, and removed as its owner would.
    """
    found = [*made.faults(), *made.disks()]
    if combination.damage == BOTH:
        found += [f"{each.name} is on record" for each in made.machines()]
        if len(os.listdir(made.paths.set_aside) if os.path.isdir(made.paths.set_aside) else []) > 1:
            found.append("more is set aside than there was")
        shutil.rmtree(made.paths.set_aside, ignore_errors=True)
    elif os.path.isdir(made.paths.set_aside):
        found.append("a machine is set aside that is on record")
    return found


def again(made: Witness, scenario: Scenario) -> list[str]:
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


def play(victim: str, driver: str, chosen: Sequence[Combination], room: int) -> Iterator[Told]:
    """Every combination, in as few worlds as there are faults. ``room`` is that of the state's own disk, if any."""
    left = list(chosen)
    while left:
        supplies = left[0].scenario.supplies
        with world(driver, supplies, room) as made:
            made.start()
            while left:
                combination = left.pop(0)
                begun = time.monotonic()
                try:
                    faults = (death if victim == "daemon" else loss)(made, combination, victim)
                except (Failed, errors.BangerError, OSError) as error:
                    faults = [f"{type(error).__name__}: {error}"]
                if faults:
                    faults.append(made.said(3000))
                yield Told(
                    combination.scenario.name, driver, victim, str(combination.instant), combination.damage,
                    round(time.monotonic() - begun, 2), faults,
                )  # fmt: skip
                if faults:
                    break


def chosen(wanted: argparse.Namespace) -> list[Combination]:
    """Every instant with every damage that is asked for, or one instant in so many, which one by the seed."""
    scenario = by_name(wanted.scenario)
    with tempfile.TemporaryDirectory() as directory:
        tasks = listing.tasks(listing.kinds(Path(directory)), scenario)
    moments = instants.distinct(tasks)
    found = []
    for damage in [each for each in DAMAGES if each not in ("", FULL)] if wanted.damage == EACH else [wanted.damage]:
        first = random.Random(f"{wanted.seed} {wanted.scenario} {damage}").randrange(wanted.part)
        found += [Combination(scenario, tasks, each, damage) for each in moments[first :: wanted.part]]
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario")
    parser.add_argument("driver")
    parser.add_argument("--victim", choices=("daemon", "monitor"), default="daemon")
    parser.add_argument("--damage", choices=(*DAMAGES, EACH), default="")
    parser.add_argument("--part", type=int, default=1)
    parser.add_argument("--seed", default="")
    parser.add_argument("--inside", action="store_true", help="it has a mount namespace of its own already")
    wanted = parser.parse_args()
    if wanted.damage == FULL and not wanted.inside:
        own = os.geteuid() or 1000
        enter = ["unshare", "--user", "--mount", f"--map-user={own}", f"--map-group={own}", "--keep-caps"]
        os.execvp(enter[0], [*enter, sys.executable, "-m", "tests.matrix.scene", *sys.argv[1:], "--inside"])
    room = ROOM[wanted.driver] if wanted.damage == FULL else 0
    for told in play(wanted.victim, wanted.driver, chosen(wanted), room):
        print(json.dumps(told._asdict()), flush=True)


if __name__ == "__main__":
    main()
