"""Whether the helper answers, and which one it is."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from . import release
from .host import Host
from .operation import Operation, Outcome


@dataclass(frozen=True, kw_only=True)
class Ping(Operation):
    """Answer with the digest of the helper's sources and the version of its Python."""

    NAME = "helper.ping"
    GATE = "Nothing is read and nothing is changed."

    def turn(self) -> str:
        """It waits for nobody."""
        return ""

    def describe(self) -> str:
        """See `Operation.describe`."""
        return "ping"

    def execute(self, host: Host, descriptors: Sequence[int] = ()) -> Outcome:
        """See `Operation.execute`."""
        return Outcome({"digest": release.DIGEST, "python": sys.version.split()[0]})

    def undo(self, host: Host) -> None:
        """See `Operation.undo`."""
