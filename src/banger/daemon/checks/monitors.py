"""Rows about the machines that run: whether each monitor is held as it should be, told by the kernel.

What a start has set cannot have been undone by the guest; these rows find a monitor that was started by hand, by an
older banger, or on a host that refused a limit. ``root`` is where the kernel's file systems are. What cannot be read
(the machine has just ended, or the host hides the processes of others) speaks against nobody, and is said.
"""

import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from banger.api.vm import Vm
from banger.daemon.checks import Found
from banger.daemon.checks.host import read, tasks
from banger.system.record import Record

Row = Callable[[Sequence[Vm], Record | None, str], Found]

JAILED = "firecracker"
JAILED_OPEN = 2048
"""What a jail's monitor is started with; a test holds it to the helper's own number."""
LEAF = ("memory.max", "pids.max", "cpu.max")
UNSEEN = "the monitors cannot be looked at: this host hides the processes of others"
_TICKS = os.sysconf("SC_CLK_TCK")
SETTLED = 30.0
"""Seconds after its start by which a machine is held as it will be."""

_FILTER = "2"
"""What /proc tells of a process with a seccomp filter (proc(5))."""


def seccomp(machines: Sequence[Vm], record: Record | None, root: str = "/") -> Found:
    """Every monitor may make few system calls only."""
    machines, note = _seen(machines, root)
    open_ones = [each.name for each in machines if _status(root, each, "Seccomp") not in ("", _FILTER)]
    return _judged(
        open_ones, machines, "fail", "{} without a seccomp filter", "every monitor has a seccomp filter", note
    )


def users(machines: Sequence[Vm], record: Record | None, root: str = "/") -> Found:
    """No monitor is root, and in jails no two are the same user."""
    machines, note = _seen(machines, root)
    uids = {each.name: _status(root, each, "Uid").partition("\t")[0] for each in machines}
    roots = [name for name, uid in uids.items() if uid == "0"]
    if roots:
        return _judged(roots, machines, "fail", "{} as root", "")
    seen = [uids[each.name] for each in machines if each.driver == JAILED and uids[each.name]]
    shared = [each.name for each in machines if each.driver == JAILED and seen.count(uids[each.name]) > 1]
    outside = [each.name for each in machines if each.driver == JAILED and not _in_range(uids[each.name], record)]
    if outside:
        return _judged(outside, machines, "fail", "{} as a user that is not the machines'", "")
    return _judged(
        shared, machines, "fail", "{} as the same user as another", "every monitor is a user of its own", note
    )


def _in_range(uid: str, record: Record | None) -> bool:
    return not uid or record is None or record.first_uid <= int(uid) < record.first_uid + record.uid_count


def limits(machines: Sequence[Vm], record: Record | None, root: str = "/") -> Found:
    """A monitor can neither fill the disk with one file, nor open files without end."""
    machines, note = _seen(machines, root)
    large = [each.name for each in machines if _limit(root, each, "Max file size") == math.inf]
    if large:
        return _judged(large, machines, "warn", "{} without a limit on the size of its files", "")
    many = [each.name for each in machines if _limit(root, each, "Max open files") > _most_open(each)]
    return _judged(many, machines, "warn", "{} with more open files than it may need",
                   "every monitor has a limit on the size and on the number of its files", note)  # fmt: skip


def _limit(root: str, machine: Vm, name: str) -> float:
    """The hard limit of that name (proc(5): limits); 0 where it cannot be seen."""
    lines = read(root, f"/proc/{machine.pid}/limits").splitlines()
    found = next((line.removeprefix(name).split() for line in lines if line.startswith(name)), [])
    if len(found) < 2:
        return 0
    return int(found[1]) if found[1].isdecimal() else math.inf


def _most_open(machine: Vm) -> float:
    """A jail's limit is banger's own; a monitor without one has the owner's, whatever number that is."""
    return JAILED_OPEN if machine.driver == JAILED else sys.maxsize


def control_groups(machines: Sequence[Vm], record: Record | None, root: str = "/") -> Found:
    """Every jail has limits on memory, processes and processor time, and is not swapped out."""
    jailed = [each for each in machines if each.driver == JAILED and record is not None]
    free = []
    for each in jailed:
        leaf = f"{record.cgroup}/vm-{each.id}" if record is not None else ""
        values = {name: read(root, f"{leaf}/{name}") for name in (*LEAF, "memory.swap.max")}
        unset = any(values[name].split()[:1] == ["max"] for name in LEAF)
        if unset or not values["memory.max"] or values["memory.swap.max"] not in ("", "0"):
            free.append(each.name)
    set_too = [f"{each.name} ({found})" for each in jailed if (found := _disk_limit(root, each, record))]
    fine = "every jail has its limits" + (f"; on their disks: {', '.join(set_too)}" if set_too else "")
    return _judged(free, jailed, "fail", "{} without the limits of its control group", fine)


def _disk_limit(root: str, machine: Vm, record: Record | None) -> str:
    """The limits of a machine's disk, where some are set: ``rbps=... wbps=...`` (cgroup-v2: io.max)."""
    lines = read(root, f"{record.cgroup}/vm-{machine.id}/io.max").splitlines() if record is not None else []
    words = [word for line in lines for word in line.split()[1:] if not word.endswith("=max")]
    return " ".join(words)


def timers(machines: Sequence[Vm], record: Record | None, root: str = "/") -> Found:
    """The kernel's timer thread of each guest counts against its machine, soon after that has begun to run."""
    settled = [each for each in machines if each.driver == JAILED and _age(root, each) > SETTLED]
    machines, note = _seen(settled, root)
    owners = {f"kvm-pit/{each.pid}": each.name for each in machines}
    found = {read(root, f"/proc/{pid}/comm"): pid for pid in tasks(root)}
    loose = [name for thread, name in owners.items() if thread in found and _outside(root, found[thread])]
    return _judged(loose, machines, "warn", "{} with a timer of the kernel's that nothing limits",
                   "the kernel's timers count against their machines", note)  # fmt: skip


def _age(root: str, machine: Vm) -> float:
    """Seconds that a monitor has run, by the clock that nobody sets (proc(5): starttime)."""
    fields = read(root, f"/proc/{machine.pid}/stat").rpartition(")")[2].split()
    uptime = read(root, "/proc/uptime").split()
    return float(uptime[0]) - int(fields[19]) / _TICKS if uptime and len(fields) > 19 else math.inf


def _outside(root: str, pid: str) -> bool:
    return read(root, f"/proc/{pid}/cgroup").endswith("::/")


def routing(machines: Sequence[Vm], record: Record | None, root: str = "/") -> Found:
    """The host routes packets where a machine on the bridge is to reach the outside."""
    outward = [each.name for each in machines if each.driver == JAILED and each.nat]
    if outward and read(root, "/proc/sys/net/ipv4/ip_forward") == "0":
        mend = "sudo sysctl -w net.ipv4.ip_forward=1"
        return "warn", f"this host does not route packets: {', '.join(outward)} cannot reach the outside", mend
    return "pass", "machines with NAT reach the outside" if outward else "no machine with NAT runs", ""


def _status(root: str, machine: Vm, name: str) -> str:
    """A field of the monitor's /proc/PID/status."""
    lines = read(root, f"/proc/{machine.pid}/status").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:")), "")


def _seen(machines: Sequence[Vm], root: str) -> tuple[Sequence[Vm], str]:
    """The machines whose monitors we can look at, and a note where those are not all."""
    seen = [each for each in machines if os.path.exists(os.path.join(root, "proc", str(each.pid)))]
    if len(seen) == len(machines):
        return seen, ""
    return seen, f" ({len(seen)} of {len(machines)} seen)" if seen else UNSEEN


def _judged(wrong: Sequence[str], of: Sequence[Vm], status: str, fault: str, fine: str, note: str = "") -> Found:
    """The row: the machines at fault by name, or that all that were seen are fine."""
    if not wrong:
        return "pass", fine + note if of else note or "no machine that this is about runs", ""
    runs = "run" if len(wrong) > 1 else "runs"
    detail = fault.format(f"{', '.join(wrong)} {runs}")
    return "fail" if status == "fail" else "warn", detail, f"banger vm restart {' '.join(wrong)}"


ROWS: Mapping[str, Row] = {
    "monitors' filters": seccomp,
    "monitors' users": users,
    "monitors' limits": limits,
    "machines' limits": control_groups,
    "guests' timers": timers,
    "routing": routing,
}
