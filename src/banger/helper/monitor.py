"""A machine's monitor as a process: told apart from every other by what it cannot change.

A monitor is the process whose user and group are its slot's, whose root directory is its machine's jail, whose program
is the copy in that jail, and which is in its machine's control group. Its name and its command line are its own to
change and prove nothing. A pid is pinned by a pidfd first and looked at afterwards; start ticks tell it from an earlier
process of the same number.
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterable, Iterator

from . import cgroup
from .host import Host
from .operation import Failed

_END_SECONDS = 20.0


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None when there is none, or only its zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def runs(host: Host, vm_id: str, root: int, pid: int, uid: int) -> bool:
    """Whether ``pid`` is the monitor of the machine whose jail is open as ``root``."""
    return pid in cgroup.pids(host, vm_id) and users(pid) == {uid} and _lives_in(pid, root) and _is_copy(pid, root)


def users(pid: int) -> set[int]:
    """Every user and group id that the process acts with; empty when it has ended."""
    found: set[int] = set()
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", "rb") as file:
        for line in file:
            if line.startswith((b"Uid:", b"Gid:")):
                found.update(map(int, line.split()[1:]))
    return found


def of_user(uid: int) -> list[int]:
    """The processes that act as the user or group ``uid``."""
    return [pid for pid in _processes() if uid in users(pid)]


def inhabitants(root: int) -> list[int]:
    """The processes whose root directory is the one open as ``root``."""
    return [pid for pid in _processes() if _lives_in(pid, root)]


def end(pids: Iterable[int], root: int) -> None:
    """SIGKILL to those that live in ``root``, and wait for their end. Raises `Failed`."""
    deadline = time.monotonic() + _END_SECONDS
    for pid in pids:
        with contextlib.suppress(ProcessLookupError), pinned(pid) as pidfd:
            if _lives_in(pid, root):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                if not ended(pidfd, deadline - time.monotonic()):
                    raise Failed("a process in the jail does not end", busy=True)


@contextlib.contextmanager
def pinned(pid: int) -> Iterator[int]:
    """A pidfd: what is learned of ``pid`` while it is open and has not ended is true of that process."""
    pidfd = os.pidfd_open(pid)
    try:
        yield pidfd
    finally:
        os.close(pidfd)


def ended(pidfd: int, patience: float = 0.0) -> bool:
    """Whether the process has ended, or does within ``patience`` seconds."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(max(0, patience) * 1000))


def _lives_in(pid: int, root: int) -> bool:
    return _same(f"/proc/{pid}/root", os.fstat(root))


def _is_copy(pid: int, root: int) -> bool:
    try:
        copy = os.stat("firecracker", dir_fd=root, follow_symlinks=False)
    except OSError:
        return False
    return _same(f"/proc/{pid}/exe", copy)


def _same(path: str, other: os.stat_result) -> bool:
    try:
        found = os.stat(path)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (other.st_dev, other.st_ino)


def _processes() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())
