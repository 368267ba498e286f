"""What a test may not leave behind: processes, and what the host's kernel holds for them.

The test process adopts the orphans among its descendants (prctl PR_SET_CHILD_SUBREAPER), so a daemon or a monitor
that detached itself is still found below it, however often it forked. Resources are compared before and after.
"""

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PR_SET_CHILD_SUBREAPER = 36

OURS = ("/tmp/", "/var/tmp/", "/run/banger/", "/var/lib/banger/")
"""Where a mount is a test's: elsewhere somebody else may mount at any time. Only root's tests can mount at all."""

_allowed: set[int] = set()


class Process(NamedTuple):
    """A process that cannot be mistaken for a later one with its pid."""

    pid: int
    start: int
    command: str


class Resources(NamedTuple):
    """A moment's state; `new_since` tells what came after it."""

    processes: frozenset[Process]
    loops: frozenset[str]
    links: frozenset[str]
    mounts: frozenset[str]


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def allow(pid: int) -> None:
    """A process that outlives the test which started it, because a wider fixture owns it."""
    _allowed.add(pid)


def children(pid: int) -> Iterator[int]:
    """Pids of processes that ``pid`` has started or adopted, zombies included."""
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                yield from map(int, (task / "children").read_text().split())


def process_of(pid: int) -> Process | None:
    """The process of that pid; None where it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return None
    return None if fields[0] in "ZX" else Process(pid, int(fields[19]), command[:200])


def descendants(pid: int) -> Iterator[Process]:
    """Living processes below ``pid``, those of allowed ones left out."""
    for child in children(pid):
        if child in _allowed:
            continue
        found = process_of(child)
        if found is not None:
            yield found
        yield from descendants(child)


def _names(directory: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(directory))
    except OSError:
        return frozenset()


def resources() -> Resources:
    """What is there now."""
    loops = frozenset(name for name in _names("/sys/block") if Path(f"/sys/block/{name}/loop/backing_file").exists())
    table = Path("/proc/self/mountinfo").read_text() if os.geteuid() == 0 else ""
    mounted = (line.split()[4] for line in table.splitlines())
    mounts = frozenset(path for path in mounted if path.startswith(OURS))
    return Resources(frozenset(descendants(os.getpid())), loops, _names("/sys/class/net"), mounts)


def new_since(before: Resources, patience: float = 5.0) -> list[str]:
    """What is there now and was not before, in words. A process on its way out gets ``patience`` seconds."""
    deadline = time.monotonic() + patience
    while resources().processes - before.processes and time.monotonic() < deadline:
        time.sleep(0.05)
    now = resources()
    found = [f"process {each.pid}: {each.command}" for each in sorted(now.processes - before.processes)]
    for kind, new in (
        ("loop device", now.loops - before.loops),
        ("network link", now.links - before.links),
        ("mount", now.mounts - before.mounts),
    ):
        found += [f"{kind} {name}" for name in sorted(new)]
    return found


def end_new_processes(before: Resources) -> None:
    """Kill what was left, so that the next test starts clean, and collect adopted zombies."""
    for process in resources().processes - before.processes:
        with contextlib.suppress(OSError):
            os.kill(process.pid, signal.SIGKILL)
    for pid in list(children(os.getpid())):
        if pid not in _allowed and process_of(pid) is None:
            with contextlib.suppress(OSError):
                os.waitpid(pid, os.WNOHANG)
