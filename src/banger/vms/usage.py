"""What machines take of this host: processor time, memory, disk, network.

Read from the kernel when somebody asks; nothing is kept. A figure that cannot be read is None and never a guess: QEMU's
user-mode network counts nothing, and a process may end while it is looked at.
"""

import os
import time
from typing import NamedTuple

from banger import proc
from banger.api.vm import VmStats
from banger.disk.taken import Meter
from banger.paths import Paths
from banger.vmm.driver import Handle, TapNetwork
from banger.vms.record import VmRecord

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Consumed(NamedTuple):
    """By one process, all of its threads together."""

    cpu_seconds: float
    resident: int
    age: float
    """Seconds since it was started, which is what its processor time is a share of."""


def of(record: VmRecord, paths: Paths) -> VmStats:
    """One machine as it is now."""
    running = record.handle if record.state == "running" else None
    consumed = process(running) if running else None
    received, sent = _network(record) if running else (None, None)
    return VmStats(
        id=record.id,
        name=record.name,
        state=record.state,
        vcpu=record.vcpu,
        cpu_seconds=consumed and consumed.cpu_seconds,
        memory=record.memory,
        memory_resident=consumed and consumed.resident,
        disk_size=record.disk_size + record.work_disk_size,
        disk_used=Meter().taken(paths.vm(record.id)),
        received=received,
        sent=sent,
        uptime=consumed and consumed.age,
    )


def process(handle: Handle) -> Consumed | None:
    """What a monitor has used since its start and holds now; None when it is gone, or not ours to look at."""
    try:
        with open(f"/proc/{handle.pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        with open(f"/proc/{handle.pid}/statm", "rb") as file:
            resident = int(file.read().split()[1]) * _PAGE
    except OSError:
        return None
    if not proc.alive(proc.Identity(handle.pid, handle.start_ticks)):
        return None
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - handle.start_ticks / _TICKS
    return Consumed((int(fields[11]) + int(fields[12])) / _TICKS, resident, max(0.0, age))


def _network(record: VmRecord) -> tuple[int | None, int | None]:
    """Bytes that the guest has received and sent since its interface was made: the other way round at our end."""
    if not isinstance(record.network, TapNetwork):
        return None, None
    found = []
    for name in ("tx_bytes", "rx_bytes"):
        try:
            with open(f"/sys/class/net/{record.network.tap}/statistics/{name}", encoding="ascii") as file:
                found.append(int(file.read()))
        except (OSError, ValueError):
            return None, None
    return found[0], found[1]
