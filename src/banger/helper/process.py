"""Processes, held by pidfd and known by what they are, never by a number or a command line alone.

A number names another process once the first is reaped; a command line says what its process likes. What cannot be
chosen is when the kernel started it, whose it is, which file it executes, where its root directory lies and which
cgroup it is in. `look` reads these, and `held` gives a descriptor of that very process: while it is open and `alive`,
what was seen is true of the process that a signal by it reaches.

To look at processes of other users takes CAP_SYS_PTRACE, of root too (proc(5), PTRACE_MODE_READ_FSCREDS).
"""

import contextlib
import os
import select
import signal
import stat
from typing import NamedTuple

from .operation import Failed, Refused


class FileId(NamedTuple):
    """One file, whatever its name is."""

    device: int
    inode: int


class Seen(NamedTuple):
    """What a process is."""

    start_ticks: int
    uid: int
    """Of its effective user."""
    executable: FileId
    root: FileId
    cgroup: str
    """Its path in the unified hierarchy; empty where there is none."""


def file_id(found: os.stat_result) -> FileId:
    """The identity of the file that a stat was made of."""
    return FileId(found.st_dev, found.st_ino)


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks after boot; None when it is gone (a zombie is)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def look(pid: int) -> Seen | None:
    """What the process with that number is now; None when it is gone. Raises `Refused` for one we may not look at."""
    try:
        begun = start_ticks(pid)
        seen = Seen(
            begun or 0,
            os.stat(f"/proc/{pid}").st_uid,
            file_id(os.stat(f"/proc/{pid}/exe")),
            file_id(os.stat(f"/proc/{pid}/root")),
            cgroup(pid),
        )
    except (FileNotFoundError, ProcessLookupError):  # gone, or a thread of the kernel's
        return None
    except PermissionError:
        raise Refused(f"process {pid} is none of banger's") from None
    return seen if begun is not None and start_ticks(pid) == begun else None


def cgroup(pid: int) -> str:
    """The cgroup of a process in the unified hierarchy (cgroups(7)); empty where there is none."""
    with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        return next((line[3:-1] for line in file if line.startswith("0::")), "")


def held(pid: int, start_ticks: int) -> int | None:
    """A pidfd of the process that has this number and started then; None when it is gone. The caller closes it."""
    found = hold(pid)
    if found is None:
        return None
    descriptor, seen = found
    if seen.start_ticks == start_ticks:
        return descriptor
    os.close(descriptor)
    return None


def hold(pid: int) -> tuple[int, Seen] | None:
    """A pidfd of the process with that number, and what it is; None when there is none. The caller closes it."""
    if pid <= 0:
        return None
    try:
        descriptor = os.pidfd_open(pid)
    except (ProcessLookupError, OverflowError):
        return None
    kept = False
    try:
        seen = look(pid)
        kept = seen is not None and alive(descriptor)  # it lived after we looked: nobody else had its number then
        return (descriptor, seen) if kept and seen is not None else None
    finally:
        if not kept:
            os.close(descriptor)


def alive(descriptor: int) -> bool:
    """Whether the process of a pidfd has not ended."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return not poll.poll(0)


def send(descriptor: int, number: int) -> bool:
    """Signal the process of a pidfd; False when it has ended."""
    try:
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    return True


def wait(descriptor: int, seconds: float) -> bool:
    """Wait for the process of a pidfd to end; False when it has not within that time."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def end(descriptor: int, seconds: float = 10.0) -> None:
    """SIGKILL, and wait for it. Raises `Failed` (busy) for one that the kernel does not let go."""
    send(descriptor, signal.SIGKILL)
    if not wait(descriptor, seconds):
        raise Failed("the process does not end, although it was killed", busy=True)


def with_root(directory: int) -> list[int]:
    """The numbers of all processes whose root directory is that of the descriptor; for those that a chroot holds."""
    wanted = file_id(os.fstat(directory))
    if not stat.S_ISDIR(os.fstat(directory).st_mode) or wanted == file_id(os.stat("/")):
        raise Failed("that is no directory of a jail")
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with contextlib.suppress(OSError):
                if file_id(os.stat(f"/proc/{name}/root")) == wanted:
                    found.append(int(name))
    return found
