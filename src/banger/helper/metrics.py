"""What a monitor counts, handed over: the reading end of the pipe in its jail to which it writes a document a minute.

The pipe lies in ``run/``, where the monitor can put what it likes under any name. So the name is opened without being
followed, and what was opened has to be a pipe of the slot's user. What comes out of it is the monitor's word.
"""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from . import connection, jail
from .host import Host
from .machine import OfMachine
from .operation import Failed, Outcome


@dataclass(frozen=True, kw_only=True)
class Metrics(OfMachine):
    """Open the pipe of a monitor's metrics; the caller gets its reading end, which does not block."""

    NAME: ClassVar[str] = "machine.metrics"
    GATE: ClassVar[str] = "Anything but the one pipe of a machine's jail, reached without a link, that its user owns."

    def turn(self) -> str:
        return ""

    def describe(self) -> str:
        return f"open the metrics of machine {self.vm_id}"

    def execute(self, host: Host, descriptors: Sequence[int] = ()) -> Outcome:
        self.validate(host)
        with jail.at(host, self.vm_id) as root:
            uid = None if root is None else jail.owner(host, root)
            if root is None or uid is None:
                raise Failed(f"{self.vm_id} has no jail")
            held = connection.opened(root, os.path.basename(jail.METRICS), uid, stat.S_IFIFO)
        try:
            return Outcome(descriptors=(os.open(f"/proc/self/fd/{held}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC),))
        finally:
            os.close(held)

    def undo(self, host: Host) -> None:
        """The descriptor is the caller's to close."""
