"""How an operation is performed: judged, in its turn, with a failed system call told as a failure.

Requests are performed side by side, and a request's process may outlive both who asked and the helper that started it.
Operations on one resource therefore take turns (`Operation.turn`), so that an `undo` which a restarted daemon asks for
begins only when the `execute` that it takes back has ended. A turn is a lock of the kernel on a file below the runtime
directory; it ends with its holder, however that dies.

On disk: ``turns/`` in the runtime directory, empty files, named by a hash so that there are at most 4096.
"""

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .host import Host
from .operation import Failed, Operation, Outcome

PATIENCE = 60.0
"""Seconds that an operation waits for its turn."""

_BUSY = (errno.EBUSY, errno.EAGAIN, errno.ETXTBSY)


def perform(operation: Operation, host: Host, descriptors: Sequence[int] = (), *, undo: bool = False) -> Outcome:
    """Do it, or with ``undo`` take it back. Raises `Refused`, `Failed`."""
    try:
        with taken(operation.turn(), host):
            if undo:
                operation.undo(host)
                return Outcome()
            operation.validate(host)  # within the turn: what another has half made looks like somebody else's
            return operation.execute(host, descriptors)
    except OSError as error:
        where = f"{error.filename}: " if isinstance(error.filename, str) else ""
        raise Failed(f"{where}{error.strerror or error}", busy=error.errno in _BUSY) from error


@contextmanager
def taken(name: str, host: Host, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the turn ``name``. Raises `Failed` (busy) when it does not come."""
    if not name:
        yield
        return
    directory = os.path.join(host.runtime, "turns")
    os.makedirs(directory, mode=0o700, exist_ok=True)
    path = os.path.join(directory, hashlib.sha256(name.encode()).hexdigest()[:3])
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, name, patience)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, name: str, patience: float) -> None:
    deadline = time.monotonic() + patience
    pause = 0.001
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Failed(f"another operation holds {name!r}", busy=True) from None
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
