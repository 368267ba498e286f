"""What there is of machines: for recovery, for the doctor, and to find what nobody knows of any more."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from . import cgroup, containment, grammar, jail, monitor, process
from .host import Host
from .operation import Operation, Outcome


@dataclass(frozen=True, kw_only=True)
class Inspect(Operation):
    """Tell of one machine: whether it has a jail and a control group, its processes, its limits."""

    NAME: ClassVar[str] = "machine.inspect"
    GATE: ClassVar[str] = "Whatever is not the jail, the control group and the processes of the named machine."

    vm_id: str

    def validate(self, host: Host) -> None:
        grammar.vm_id(self.vm_id)

    def turn(self) -> str:
        return ""

    def describe(self) -> str:
        return f"inspect machine {self.vm_id}"

    def execute(self, host: Host, descriptors: Sequence[int] = ()) -> Outcome:
        self.validate(host)
        with jail.at(host, self.vm_id) as root:
            uid = None if root is None else jail.owner(host, root)
            processes = [
                {
                    "pid": pid,
                    "start_ticks": process.start_ticks(pid),
                    "monitor": root is not None and monitor.runs(host, self.vm_id, root, pid),
                }
                for pid in cgroup.pids(host, self.vm_id)
                if not containment.is_kernels(pid)
            ]
        return Outcome(
            {
                "jail": self.vm_id in jail.machines(host),
                "cgroup": cgroup.exists(host, self.vm_id),
                "uid": uid,
                "processes": processes,
                "limits": cgroup.shown(host, self.vm_id),
            }
        )

    def undo(self, host: Host) -> None:
        """Looking changes nothing."""


@dataclass(frozen=True, kw_only=True)
class Jails(Operation):
    """List the machines that have a jail or a control group."""

    NAME: ClassVar[str] = "machine.list"
    GATE: ClassVar[str] = "Nothing: it takes no argument, and tells only of machines."

    def turn(self) -> str:
        return ""

    def describe(self) -> str:
        return "list the machines' jails"

    def execute(self, host: Host, descriptors: Sequence[int] = ()) -> Outcome:
        return Outcome({"machines": sorted({*jail.machines(host), *cgroup.machines(host)})})

    def undo(self, host: Host) -> None:
        """Looking changes nothing."""
