"""A change on the box, saved at each moment of its way, and gone back to as often as somebody is to die there.

To come to a moment takes as long as the change does; to be there again takes two seconds.
"""

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from tests.matrix.jailed import HALT
from tests.smoke.host import stages
from tests.smoke.host.box import CommandFailed, Host
from tests.smoke.host.line import Silent
from tests.smoke.host.stages import MATRIX_ENV, PYTHON
from tests.smoke.moments import KEPT, Moment

AT_ONCE = 10
"""Saved states that there is room for beside each other."""

NEXT = f"rm {HALT}; until [ -s {HALT} ]; do sleep 0.05; done"

SECONDS = 300.0
"""Most for one step in the box, which takes a tenth of it."""

TRIES = 2
"""Of a death after which the box says nothing: the emulator errs now and then, and an error of ours comes again."""


class Told(NamedTuple):
    """Who died at which moment, and what was wrong."""

    moment: Moment
    victim: str
    seconds: float
    faults: list[str]


def play(host: Host, moments: Sequence[Moment], victims: Sequence[str]) -> Iterator[Told]:
    """Every victim's death at each moment. These are of one change, all on its way there or all on its way back."""
    host.enter(stages.MORTAL)
    host.spend()
    try:
        yield from _forks(host, moments, victims)
    finally:
        host.fresh()


def _forks(host: Host, moments: Sequence[Moment], victims: Sequence[str]) -> Iterator[Told]:
    document = {**moments[0].document(), "instants": [each.instant for each in moments]}
    document["reached"] = json.loads(_program(host, "begin", document))
    for at in range(0, len(moments), AT_ONCE):
        states = {f"moment-{at + number}": each for number, each in enumerate(moments[at : at + AT_ONCE])}
        _save_each(host, states, first=at == 0)
        for state, moment in states.items():
            for victim in victims:
                begun = time.monotonic()
                faults = _death(host, state, {**document, **moment.document(), "victim": victim})
                yield Told(moment, victim, round(time.monotonic() - begun, 1), faults)
        host.recall(list(states)[-1])
        for state in states:
            host.forget(state)


def _save_each(host: Host, states: dict[str, Moment], first: bool) -> None:
    """Go from one moment to the next; the box is at the one before, unless that is the ``first``."""
    for state, moment in states.items():
        if not first:
            host.run(NEXT, timeout=SECONDS)
        first = False
        there = host.read(HALT)
        assert there == str(moment.instant), f"the daemon is at {there}, and not at {moment.instant}"
        host.save(state)


def _death(host: Host, state: str, document: dict[str, Any]) -> list[str]:
    """What is wrong after a death in the saved box."""
    faults: list[str] = []
    for _ in range(TRIES):
        host.recall(state)
        try:
            faults = json.loads(_program(host, "judge", document))
            break
        except (Silent, CommandFailed) as silence:
            faults = [str(silence)]
            host.said.append(f"{document['instant']}, {document['victim']}: {silence}")
    changed = [] if faults else host.changes()
    return faults + [each for each in changed if not each.removeprefix("left behind: ").startswith(KEPT)]


def _program(host: Host, step: str, document: dict[str, Any]) -> str:
    argv = [PYTHON, "-m", "tests.matrix.walk", step]
    return host.run(argv, env=MATRIX_ENV, cwd="/", stdin=json.dumps(document).encode(), timeout=SECONDS).stdout
