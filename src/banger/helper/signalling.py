"""Signals to a machine's monitor, which is told apart from every other process before it gets one."""

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from . import grammar, jail, monitor, process
from .host import Host
from .operation import Operation, Outcome, Refused

_SIGNALS = {"TERM": signal.SIGTERM, "KILL": signal.SIGKILL}


@dataclass(frozen=True, kw_only=True)
class Signal(Operation):
    """Send a signal to a machine's monitor. ``sent`` in the answer is false when that process has ended."""

    NAME: ClassVar[str] = "machine.signal"
    GATE: ClassVar[str] = (
        "Any process but the machine's monitor: in its control group, with its slot's user, in its jail, "
        "running the program in the jail; and any signal but TERM and KILL."
    )

    vm_id: str
    pid: int
    start_ticks: int
    signal: str

    def validate(self, host: Host) -> None:
        grammar.vm_id(self.vm_id)
        if not 1 < self.pid <= 1 << 22 or self.start_ticks < 0:
            raise Refused(f"{self.pid} is not the pid of a monitor")
        if self.signal not in _SIGNALS:
            raise Refused(f"{self.signal[:80]!r} is not a signal for a monitor: {', '.join(_SIGNALS)}")

    def turn(self) -> str:
        return ""

    def describe(self) -> str:
        return f"send {self.signal} to process {self.pid} of machine {self.vm_id}"

    def execute(self, host: Host, descriptors: Sequence[int] = ()) -> Outcome:
        self.validate(host)
        descriptor = process.held(self.pid, self.start_ticks)
        if descriptor is None:  # it has ended, and if there is a process of that number, it is another
            return Outcome({"sent": False})
        try:
            if not self._is_monitor(host):
                if process.alive(descriptor):
                    raise Refused(f"process {self.pid} is not the monitor of machine {self.vm_id}")
                return Outcome({"sent": False})
            return Outcome({"sent": process.send(descriptor, _SIGNALS[self.signal])})
        finally:
            os.close(descriptor)

    def undo(self, host: Host) -> None:
        """What has ended stays so."""

    def _is_monitor(self, host: Host) -> bool:
        """True of the process that we hold, as long as that lives."""
        with jail.at(host, self.vm_id) as root:
            return root is not None and monitor.runs(host, self.vm_id, root, self.pid)
