"""Locks between processes, on single bytes of one file.

They are open file description locks (fcntl(2)): they belong to the descriptor that took them, so two users in one
process exclude each other as two processes do, no child inherits them, and the kernel releases them when their holder
dies. The file stays: nothing is ever removed, so nobody can hold a lock on a file that is gone.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import struct
from collections.abc import AsyncIterator, Callable

_FLOCK = "hhqqi"
"""struct flock of a 64-bit Linux: type, whence, start, length, pid (which must be 0)."""

_NAMED = 1 << 16
"""Where the bytes begin that stand for names; what lies before is for places of a fixed meaning."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.25


def place_of(name: str) -> int:
    """The byte that stands for a name."""
    return _NAMED + int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:6], "big")


def attempt(path: str, place: int, *, shared: bool = False) -> int | None:
    """Lock a byte of the file at ``path`` if that can be done now. The lock lasts until the descriptor is closed."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    kind = fcntl.F_RDLCK if shared else fcntl.F_WRLCK
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, kind, os.SEEK_SET, place, 1, 0))
    except (BlockingIOError, PermissionError):  # which of the two, is the kernel's choice
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


async def acquire(path: str, place: int, *, shared: bool = False, waiting: Callable[[], None] | None = None) -> int:
    """As `attempt`, waiting for it for as long as it takes; ``waiting`` is called once when it has to.

    A cancelled call holds nothing.
    """
    pause = _FIRST_PAUSE
    while (descriptor := attempt(path, place, shared=shared)) is None:
        if waiting is not None:
            waiting()
            waiting = None
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
    return descriptor


@contextlib.asynccontextmanager
async def held(
    path: str, place: int, *, shared: bool = False, waiting: Callable[[], None] | None = None
) -> AsyncIterator[None]:
    """Hold a lock for as long as the body runs."""
    descriptor = await acquire(path, place, shared=shared, waiting=waiting)
    try:
        yield
    finally:
        os.close(descriptor)
