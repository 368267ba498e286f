"""How large a machine is when nobody says: by config.toml, else by the host, else as is built in.

The host decides on processors and memory, by a bounded share of its own: a quarter of the processors, at least one and
at most four; an eighth of the memory, in steps of 64 MiB, at least 512 MiB and at most 8 GiB. Where the kernel does not
tell how many it has, what is built in stands. Disks take of the host only what is written to them, so their sizes do
not follow from it.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

from banger.config.sizes import GIB, MIB

VCPU_MOST = 4
MEMORY_LEAST, MEMORY_MOST = 512 * MIB, 8 * GIB
_STEP = 64 * MIB

BUILT_IN = {"vcpu": 2, "memory": 2 * GIB, "disk_size": 8 * GIB, "work_disk_size": 8 * GIB}
"""By the names of settings in ``[vm_defaults]``; sizes in bytes."""


class Origin(NamedTuple):
    """Who has decided a value.

    ``kind`` is ``built-in``, ``host``, ``system`` and ``user`` (one of the two files), or ``environment``, whose
    variable is the ``path`` then. ``line`` is 0 where it is not known.
    """

    kind: str
    path: str = ""
    line: int = 0

    def __str__(self) -> str:
        return (f"{self.path}:{self.line}" if self.line else self.path) or self.kind


BY_HOST, BY_US = Origin("host"), Origin("built-in")


class Sized(NamedTuple):
    """A number, and who has decided it."""

    value: int
    origin: Origin


def processors() -> int | None:
    """How many this process may use; None where the kernel does not tell."""
    try:
        return len(os.sched_getaffinity(0)) or None
    except OSError:
        return None


def memory() -> int | None:
    """Bytes that the host has; None where the kernel does not tell."""
    try:
        found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None
    return found if found > 0 else None


def shares(processors: int | None, memory: int | None) -> dict[str, int]:
    """What a machine gets of a host with so much."""
    found = {}
    if processors is not None:
        found["vcpu"] = max(1, min(VCPU_MOST, processors // 4))
    if memory is not None:
        found["memory"] = max(MEMORY_LEAST, min(MEMORY_MOST, memory // 8 // _STEP * _STEP))
    return found


def decide(configured: Mapping[str, Sized], host: Mapping[str, int]) -> dict[str, Sized]:
    """Every size, by its setting's name."""
    built_in = {name: Sized(value, BY_US) for name, value in BUILT_IN.items()}
    return {**built_in, **{name: Sized(value, BY_HOST) for name, value in host.items()}, **configured}
