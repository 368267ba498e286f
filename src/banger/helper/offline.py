"""e2fsck and debugfs on what a guest has written: as nobody's user, on a descriptor, with an end to memory and time.

Both are programs that parse what an attacker chose. Each run has a user id of its own (`borrowed_uid`), of which no
other process exists; it can start none (RLIMIT_NPROC), has no capability, and no path leads it to any device. What it
can open is a device node that was made for it, belongs to that user, and has no name any more when it starts
(`Device`): /proc/self/fd leads to it, and to nothing else.

On disk: ``tools/N`` in the runtime directory, an empty file for each user id; its lock is held while the id is in use.
"""

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple, TypeVar

from . import debugfs, program
from .host import Host
from .operation import Failed, Refused

CHECK_SECONDS, EDIT_SECONDS = 600.0, 60.0
_PATIENCE = 30.0
_MENDED = (0, 1, 2)
"""Statuses of e2fsck(8) for a file system that is in order by now."""
_NOT_MENDED = (4, 8, 12)

Made = TypeVar("Made")


class Device(NamedTuple):
    """What the tools may open: an O_PATH descriptor of a file or node that belongs to the user ``uid``."""

    descriptor: int
    uid: int

    @property
    def path(self) -> str:
        return f"/proc/self/fd/{self.descriptor}"


@contextlib.contextmanager
def device(host: Host, rdev: int) -> Iterator[Device]:
    """The block device ``rdev``, for one borrowed user. Raises `Failed`."""
    with borrowed_uid(host) as uid:
        descriptor = _node(host, rdev, uid)
        try:
            yield Device(descriptor, uid)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def borrowed_uid(host: Host) -> Iterator[int]:
    """A user id that nobody else has while the context lasts. Raises `Failed` (busy) when none becomes free."""
    directory = os.path.join(host.runtime, "tools")
    os.makedirs(directory, mode=0o700, exist_ok=True)
    deadline = time.monotonic() + _PATIENCE
    while True:
        for number, uid in enumerate(host.tool_uids):
            lock = os.open(os.path.join(directory, str(number)), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if _locked(lock):
                    yield uid
                    return
            finally:
                os.close(lock)
        if time.monotonic() > deadline:
            raise Failed("too many file systems are being looked at", busy=True)
        time.sleep(0.05)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _node(host: Host, rdev: int, uid: int) -> int:
    """A descriptor of a node without a name. As long as it has one it is root's: a helper that dies opens no way in.

    The name is the borrowed user's, which nobody else has at the moment: what is there was left by one that died.
    """
    path = os.path.join(host.private, f".node-{uid}")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    os.mknod(path, stat.S_IFBLK | 0o600, rdev)
    try:
        descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    finally:
        os.unlink(path)
    os.chown(f"/proc/self/fd/{descriptor}", uid, uid)
    return descriptor


def mend(target: Device, seconds: float = CHECK_SECONDS) -> bool:
    """Replay the journal and mend what can be mended; whether anything was. Raises `Failed`.

    What a machine left that was not shut down costs a moment; all of the file system is read only where it says itself
    that it is damaged. What does not begin as ext4 is left as it is: e2fsck would find an old superblock further on.
    """
    raw, _ = _superblock(target)
    if not debugfs.is_ext4(raw):
        raise Failed("it is not an ext4 file system")
    said = _run("e2fsck", ["-p", target.path], target, seconds, ok=(*_MENDED, *_NOT_MENDED))
    if said.status in _MENDED:
        return said.status != 0
    _run("e2fsck", ["-fy", target.path], target, seconds, ok=_MENDED)
    return True


def follow(target: Device, plan: debugfs.Plan[Made], inherited: Collection[int] = ()) -> Made:
    """Ask debugfs what a plan wants to know, until it has what it is for.

    ``inherited`` are descriptors that its commands name; it is looked at again for each batch.

    Raises `Refused` for what cannot be asked, `Failed` for a file system that cannot be worked on.
    """
    try:
        asked = next(plan)
        while True:
            asked = plan.send(_ask(target, asked, inherited))
    except StopIteration as done:
        made: Made = done.value
        return made
    except debugfs.Unspeakable as fault:
        raise Refused(printable(fault)) from None
    except debugfs.NoRoom:
        raise Failed("there is no space left on the host's disk") from None
    except (debugfs.Unusable, debugfs.Missing) as fault:
        raise Failed(printable(fault)) from None


def _ask(target: Device, asked: debugfs.Asked, inherited: Collection[int]) -> list[debugfs.Answer]:
    if not asked.questions:
        return []
    reason = debugfs.unfit(*_superblock(target), write=asked.write)
    if reason is not None:
        raise Failed(reason)
    script = debugfs.Script(asked.questions)
    arguments = [*(["-w"] if asked.write else []), "-f", "-", target.path]
    said = _run(
        "debugfs", arguments, target, EDIT_SECONDS, range(256), input=script.text, more=inherited, output=asked.limit
    )
    return script.answers(said.status, said.stdout, said.stderr)


def _superblock(target: Device) -> tuple[bytes, int]:
    """The raw superblock, and how large the device is."""
    readable = os.open(target.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        raw = os.pread(readable, debugfs.SUPERBLOCK_SIZE, debugfs.SUPERBLOCK_AT)
        return raw, os.lseek(readable, 0, os.SEEK_END)
    finally:
        os.close(readable)


def _run(
    tool: str,
    arguments: Sequence[str],
    target: Device,
    seconds: float,
    ok: Sequence[int] | range,
    *,
    input: bytes = b"",
    more: Collection[int] = (),
    output: int = debugfs.OUTPUT_LIMIT,
) -> program.Completed:
    return program.run(
        tool,
        *arguments,
        input=input,
        timeout=seconds,
        ok=ok,
        descriptors=(target.descriptor, *more),
        user=target.uid,
        memory=debugfs.MEMORY_LIMIT,
        output=output,
        environment=debugfs.ENVIRONMENT,
    )


def printable(fault: Exception) -> str:
    """What went wrong, in words that may be a guest's."""
    return str(fault).encode("unicode_escape").decode("ascii")[:400]
