"""Which combinations run: all of them where ``BANGER_MATRIX`` is ``full`` (``make matrix``), otherwise a slice.

In the slice every boundary of what is cheap is met every time. Of what is dear, one in so many is: which one follows
from a seed, today's date unless ``BANGER_MATRIX_SEED`` says otherwise, so that every one has its day.
"""

import os
import time
from typing import NamedTuple

from tests.matrix.damage import DAMAGES, EACH, FULL
from tests.matrix.scenarios import OF_PACKAGES, all_scenarios

WHOLE = os.environ.get("BANGER_MATRIX") == "full"
SEED = os.environ.get("BANGER_MATRIX_SEED") or time.strftime("%Y-%m-%d")

SLOW = {"image.register": 4, "image.promote": 4, "image.pull bundle": 4, "image.pull replacing": 2} | dict.fromkeys(
    OF_PACKAGES, 6
)
"""Of these, one moment in so many."""


class Scene(NamedTuple):
    """Arguments of a scene."""

    scenario: str
    driver: str
    victim: str = "daemon"
    damage: str = ""
    part: int = 1

    def arguments(self) -> list[str]:
        part = 1 if WHOLE else self.part
        return [
            self.scenario, self.driver, "--victim", self.victim, "--damage", self.damage, "--part", str(part),
            "--seed", SEED,
        ]  # fmt: skip

    def __str__(self) -> str:
        words = (self.scenario, self.driver, self.victim, self.damage)
        return "-".join(each.replace(" ", "_") for each in words if each)


def quick() -> list[Scene]:
    """Without a guest."""
    found = []
    for each in all_scenarios():
        if each.guest:
            continue
        found.append(Scene(each.name, "fake", part=SLOW.get(each.name, 1)))
        if each.machine:
            found.append(Scene(each.name, "fake", "monitor", part=3))
            found += [Scene(each.name, "fake", damage=damage, part=8) for damage in (EACH, FULL)]
    return found


def guests() -> list[Scene]:
    """With real ones."""
    machines = [each.name for each in all_scenarios() if each.machine]
    found = [Scene(name, "qemu", part=7) for name in machines]
    found += [Scene(name, "qemu", "monitor", part=7) for name in machines]
    found += [Scene(each.name, "qemu", part=24) for each in all_scenarios() if each.guest]
    if WHOLE:
        found += [Scene(name, "qemu", damage=damage) for name in machines for damage in DAMAGES if damage]
    return found
