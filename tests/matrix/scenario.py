"""What a scenario of the crash matrix is (`scenarios`), and the facts that it is judged by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from banger.api.operation import Operation
from banger.engine.change import Spec
from tests.matrix.witness import PATIENCE, Witness

Facts = frozenset[str]


def lines(*facts: str) -> Facts:
    return frozenset(facts)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """``adds`` and ``removes`` are what the change makes of the facts; ``undone`` are other ends that are right too.

    Each of ``undone`` is what goes and what comes; the facts as they were are always right where a change is undone,
    unless ``onward``: then the change only goes forward, and undoing it leaves what its tasks have done.
    """

    kind: str
    variant: str = ""
    sample: object
    ready: Callable[[Witness], None]
    begin: Callable[[Witness], Operation]
    adds: Facts = frozenset()
    removes: Facts = frozenset()
    undone: Sequence[tuple[Facts, Facts]] = ()
    onward: bool = False
    machine: bool = False
    """It is about a machine: its driver matters."""
    guest: bool = False
    """It needs a real guest."""
    seconds: float = PATIENCE
    """How long the way to its last instant may take."""
    supplies: Callable[[Witness], None] = field(default=lambda world: None)
    """Made once, before the first daemon."""

    @property
    def name(self) -> str:
        return f"{self.kind} {self.variant}".strip()

    @property
    def spec(self) -> Spec:
        found: Spec = msgspec.to_builtins(self.sample)
        return found

    def after(self, before: Facts) -> Facts:
        return before - self.removes | self.adds

    def allowed(self, before: Facts) -> list[Facts]:
        """What is right where the change was undone."""
        if self.onward:
            return [self.after(before)]
        return [before, *(before - gone | came for gone, came in self.undone)]
