"""What the kernel does on a guest's behalf, counted against the guest.

On x86 a thread of the kernel's (``kvm-pit/<pid>``) plays each guest's interval timer. A guest can program that as fast
as it likes, and the thread is born outside every control group, so its time is nobody's. It appears when the guest
begins, which is why this is an operation of its own and no part of the launch. The kernel lets it be moved only where
the leaf has no cpuset of its own, or by a process with CAP_SYS_NICE.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from . import cgroup, jail, monitor
from .host import Host
from .machine import OfMachine
from .operation import Failed, Outcome

_PF_KTHREAD = 0x00200000


@dataclass(frozen=True, kw_only=True)
class Contain(OfMachine):
    """Move the timer thread of a machine that runs into its control group; how many there are, one or none."""

    NAME: ClassVar[str] = "machine.contain"
    GATE: ClassVar[str] = "Any thread but those of the kernel's that bear the pid of the named machine's monitor."

    def describe(self) -> str:
        return f"contain the kernel's thread for machine {self.vm_id}"

    def execute(self, host: Host, descriptors: Sequence[int] = ()) -> Outcome:
        self.validate(host)
        moved = 0
        with jail.at(host, self.vm_id) as root:
            for pid in cgroup.pids(host, self.vm_id):
                if root is not None and monitor.runs(host, self.vm_id, root, pid):
                    thread = _timer(pid)
                    if thread is not None:
                        _move(host, self.vm_id, thread)
                        moved += 1
        return Outcome({"threads": moved})

    def undo(self, host: Host) -> None:
        """The thread ends with the machine."""


def is_kernels(pid: int) -> bool:
    """Whether ``pid`` is a thread of the kernel's: no program can pretend to be one."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return bool(int(file.read().rpartition(b")")[2].split()[6]) & _PF_KTHREAD)
    except OSError:
        return False


def _timer(pid: int) -> int | None:
    """The thread ``kvm-pit/PID``. It is younger than the monitor, so that most often the first ones asked are it."""
    others = (int(name) for name in os.listdir("/proc") if name.isdecimal())
    for each in sorted(others, key=lambda other: (other < pid, other)):
        try:
            with open(f"/proc/{each}/comm", encoding="ascii", errors="replace") as file:
                found = file.read().rstrip("\n")
        except OSError:
            continue
        if found == f"kvm-pit/{pid}" and is_kernels(each):
            return each
    return None


def _move(host: Host, vm_id: str, thread: int) -> None:
    try:
        with open(os.path.join(cgroup.leaf(host, vm_id), "cgroup.procs"), "w", encoding="ascii") as file:
            file.write(str(thread))
    except ProcessLookupError:
        pass  # the machine has ended
    except OSError as error:
        raise Failed(f"thread {thread} cannot be moved: {error.strerror}") from None
