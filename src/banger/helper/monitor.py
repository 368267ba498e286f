"""A machine's monitor as a process: told apart from every other by what it cannot change.

A monitor is the process whose users and groups are its slot's alone, whose root directory is its machine's jail, whose
program is the copy in that jail, and which is in its machine's control group. Its name and its command line are its own
to change and prove nothing.
"""

import contextlib
import os
import re

from . import cgroup, jail, process
from .host import Host

_IDS = re.compile(rb"\nUid:((?:\t\d+){4})\nGid:((?:\t\d+){4})\n")
_ENDED = re.compile(rb"\nState:\t[ZX].*\nThreads:\t[01]\n", re.DOTALL)
"""A process that waits to be reaped, with all of its threads: it acts no more."""
_PAGE = 4096


def hold(host: Host, vm_id: str, root: int, pid: int) -> int | None:
    """A pidfd of ``pid`` where that is the monitor of the machine whose jail is open as ``root``; else None."""
    found = process.hold(pid)
    if found is None:
        return None
    descriptor, seen = found
    if _fits(host, vm_id, root, pid, seen) and process.alive(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def runs(host: Host, vm_id: str, root: int, pid: int) -> bool:
    """Whether ``pid`` is, at this moment, the monitor of the machine whose jail is open as ``root``."""
    descriptor = hold(host, vm_id, root, pid)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is not None


def of_user(uid: int) -> list[int]:
    """The processes that act as the user or group ``uid``."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal() and uid in _users(int(name))]


def end_inhabitants(root: int) -> None:
    """SIGKILL to every process that lives in the jail, and wait for it. Raises `Failed`."""
    wanted = process.file_id(os.fstat(root))
    while pids := process.with_root(root):
        for pid in pids:
            found = process.hold(pid)
            if found is not None:
                try:
                    if found[1].root == wanted:
                        process.end(found[0])
                finally:
                    os.close(found[0])


def _fits(host: Host, vm_id: str, root: int, pid: int, seen: process.Seen) -> bool:
    try:
        copy = process.file_id(os.stat(jail.NAME, dir_fd=root, follow_symlinks=False))
    except FileNotFoundError:
        return False
    return (
        seen.root == process.file_id(os.fstat(root))
        and seen.executable == copy
        and seen.cgroup == "/" + cgroup.relative(host, vm_id)
        and _users(pid) == {jail.owner(host, root)}
    )


def _users(pid: int) -> set[int]:
    """Every user and group id that the process acts with; empty when it has ended."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", "rb", buffering=0) as file:
        status = file.read(_PAGE)
        found = _IDS.search(status)
        if found and not _ENDED.search(status):
            return set(map(int, (found[1] + found[2]).split()))
    return set()
