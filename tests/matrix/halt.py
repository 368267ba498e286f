"""A change on a whole host that halts on its way: what is done before, by the programs that run there.

`cut` and `walk` are such programs: one step of each begins a change and ends when the daemon halts at an instant, the
other judges what there is after what has befallen the host meanwhile. Both read JSON from their standard input and
write JSON: `Reached` goes from the one to the other by whoever has the host in hand.
"""

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from banger import errors
from tests.matrix import jailed
from tests.matrix.instants import Instant, Planned
from tests.matrix.jailed import Jailed
from tests.matrix.judge import Failed
from tests.matrix.mortal import Aim
from tests.matrix.scenario import Scenario
from tests.matrix.scenarios import by_name
from tests.matrix.scene import Before, Combination

DIRECTORY = Path("/var/tmp/banger-matrix")

Document = dict[str, Any]


class Reached(msgspec.Struct):
    """What the second step has to know of the time before the first."""

    facts: list[str]
    ids: list[str]
    last: str
    written: list[str]

    def before(self, made: Jailed) -> Before:
        """As the judge wants it; ``made`` knows whose disks have been written to."""
        made.written |= set(self.written)
        return Before(frozenset(self.facts), frozenset(self.ids), self.last)


def begin(made: Jailed, scenario: Scenario, aim: Aim, before: Before) -> Reached:
    """Begin a change, which goes on without its client, and return when the daemon halts."""
    made.aim(aim)
    os.sync()

    def asked() -> None:
        with contextlib.suppress(errors.BangerError):
            scenario.begin(made)

    threading.Thread(target=asked, daemon=True).start()
    made.until(made.halted, "the daemon does not halt")
    return Reached(sorted(before.facts), sorted(before.ids), before.last, sorted(made.written))


def combination(document: Document) -> Combination:
    """The moment that a document names."""
    tasks = [Planned(name) for name in document["tasks"]]
    return Combination(by_name(document["scenario"], jailed=True), tasks, Instant(*document["instant"]))


def main(
    first: Callable[[Jailed, Document], Reached], second: Callable[[Jailed, Document, Reached], list[str]]
) -> None:
    """Be a program: ``begin`` or ``judge``, whose faults are written, if any."""
    document: Document = json.load(sys.stdin)
    DIRECTORY.mkdir(exist_ok=True)
    made = Jailed(DIRECTORY)
    if sys.argv[1] == "begin":
        jailed.bring(made, by_name(document["scenario"], jailed=True).supplies)
        made.start()
        print(msgspec.json.encode(first(made, document)).decode(), flush=True)
        os._exit(0)  # the change goes on without us, or no further
    try:
        faults = second(made, document, msgspec.convert(document["reached"], Reached))
        jailed.clear(made)
    except (Failed, errors.BangerError, OSError) as error:
        faults = [f"{type(error).__name__}: {error}"]
    if faults:
        faults.append(made.said(4000))
    jailed.forget(made)
    print(json.dumps(faults))
