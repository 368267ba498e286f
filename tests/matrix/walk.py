"""A change on a whole host that halts at one moment after another, for whoever saves the host at each of them.

``python -m tests.matrix.walk begin`` begins it and ends at the first of its ``instants``; it goes on to the next when
the file `jailed.HALT` is removed. ``judge`` is for a host that was saved at an ``instant``: its ``victim`` dies there,
the others go on, and what is wrong afterwards is told (see `halt`).
"""

from tests.matrix import halt
from tests.matrix.halt import Document, Reached
from tests.matrix.instants import Instant
from tests.matrix.jailed import Jailed
from tests.matrix.mortal import Aim
from tests.matrix.scenarios import by_name
from tests.matrix.scene import prepared, recovered, survived


def reach(made: Jailed, document: Document) -> Reached:
    """Go to the first instant."""
    scenario = by_name(document["scenario"], jailed=True)
    aim = Aim(scenario.kind, [Instant(*each) for each in document["instants"]], document["tasks"][-1])
    return halt.begin(made, scenario, aim, prepared(made, scenario))


def verdict(made: Jailed, document: Document, reached: Reached) -> list[str]:
    """What is wrong after a death at the instant where the daemon halts."""
    combination, before = halt.combination(document), reached.before(made)
    made.strike(document["victim"])
    if document["victim"] == "daemon":
        return recovered(made, combination, before)
    return survived(made, combination.scenario, before)


if __name__ == "__main__":
    halt.main(reach, verdict)
