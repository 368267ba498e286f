"""A power cut, as far as it happens on the host whose power is cut: until the instant, and after the next boot.

``python -m tests.matrix.cut reach`` begins a change and ends when the daemon halts at the instant; ``judge`` looks at
what there is afterwards. Both read JSON from their standard input and write JSON: `Reached` goes from the one to the
other by whoever cuts the power. A machine runs besides, whatever the change is.

What is to be seen: the change was finished or undone as after any other death; machines that ran are stopped, say why,
hold what was written, and start again; images and kernels are whole, and nothing is left.
"""

import contextlib
import hashlib
import json
import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import msgspec

from banger import errors
from banger.kernels import kernel
from tests.matrix import jailed, judge
from tests.matrix.jailed import HALT, POWER, Jailed
from tests.matrix.judge import Failed, names
from tests.matrix.scenario import Facts
from tests.matrix.scenarios import STOPPED
from tests.matrix.scene import Before, Combination, again, judged, planned, prepared
from tests.matrix.witness import MACHINE

DIRECTORY = Path("/var/tmp/banger-matrix")


class Reached(msgspec.Struct):
    """What `judge` has to know of the time before the cut."""

    facts: list[str]
    ids: list[str]
    last: str
    written: list[str]


def reach(made: Jailed, combination: Combination) -> Reached:
    """Go to the instant; the daemon halts there."""
    scenario = combination.scenario
    before = prepared(made, scenario)
    if not scenario.machine:
        made.machine("running")
        before = before._replace(facts=made.facts(), ids=made.ids())
    made.start(combination.aim(), POWER)
    os.sync()

    def begin() -> None:
        with contextlib.suppress(errors.BangerError):
            scenario.begin(made)

    threading.Thread(target=begin, daemon=True).start()
    made.until(made.halted, "the daemon does not halt")
    return Reached(sorted(before.facts), sorted(before.ids), before.last, sorted(made.written))


def settled(facts: Facts) -> Facts:
    """No machine outlives the host."""
    return frozenset(
        each.removesuffix(" running") + " stopped" if each.endswith(" running") else each for each in facts
    )


def verdict(made: Jailed, combination: Combination, reached: Reached) -> list[str]:
    """What is wrong after the boot."""
    before = Before(frozenset(reached.facts), frozenset(reached.ids), reached.last)
    made.written |= set(reached.written)
    made.start()
    made.quiet()
    found = [*judged(made, combination, before, settled), *whole(made)]
    for each in made.machines():
        if f"vm {each.name} running" in before.facts and not each.stop_reason:
            found.append(f"{each.name} does not say why it is {each.state}")
        made.done(made.client.vm_start(each.name))
        if made.client.vm_show(each.name).state != "running":
            found.append(f"{each.name} does not start")
    if before.facts >= STOPPED:
        made.machine("stopped")
    found += [*made.faults(), *again(made, combination.scenario)]
    made.machine("stopped" if any(each.name == MACHINE for each in made.machines()) else "absent")
    found += made.disks()
    jailed.clear(made)
    return found


def whole(made: Jailed) -> list[str]:
    """Images and kernels whose content is not what it was when they appeared."""
    found = []
    for image in names(made.paths.images):
        path = f"{made.paths.image(image)}/rootfs.ext4"
        if os.path.exists(path):
            checked = judge.tool("e2fsck", "-fn", path, accept=(0, 4, 8, 12))
            found += [f"image {image}: {checked.stdout}"] if checked.returncode else []
    for name in names(made.paths.kernels):
        for file, wanted in kernel.load(made.paths.kernel(name)).files.items():
            with open(f"{made.paths.kernel(name)}/{file}", "rb") as content:
                if hashlib.file_digest(content, "sha256").hexdigest() != wanted.sha256:
                    found.append(f"kernel {name}: {file} is not what it was")
    return found


def main() -> None:
    document: dict[str, Any] = json.load(sys.stdin)
    combination = planned(document["scenario"], document)
    DIRECTORY.mkdir(exist_ok=True)
    tempfile.tempdir = None
    made = Jailed(DIRECTORY)
    if sys.argv[1] == "reach":
        jailed.bring(made, combination.scenario.supplies)
        made.start()
        print(msgspec.json.encode(reach(made, combination)).decode(), flush=True)
        os._exit(0)  # the change goes no further
    try:
        faults = verdict(made, combination, msgspec.convert(document["reached"], Reached))
    except (Failed, errors.BangerError, OSError) as error:
        faults = [f"{type(error).__name__}: {error}"]
    if faults:
        faults.append(made.said(4000))
    jailed.forget(made)
    assert not os.path.exists(HALT)
    print(json.dumps(faults))


if __name__ == "__main__":
    main()
