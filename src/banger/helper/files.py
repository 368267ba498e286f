"""Files of the owner's that become a machine's disk: opened below the state directory, and claimed for one machine."""

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator

from . import loop, walk
from .host import Host
from .operation import Failed, Refused

_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Between attempts to claim a file. What has just been removed may still be held by whoever looked at it."""


@contextlib.contextmanager
def opened(host: Host, path: str, flags: int) -> Iterator[int]:
    """A regular file of the owner's below the state directory. Raises `Refused`, `Failed`."""
    descriptor = walk.open_below(host.state, path, flags, owner=host.owner_uid)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Refused(f"{path} is no regular file")
        yield descriptor
    finally:
        os.close(descriptor)


def claim(file: int, path: str) -> None:
    """Keep everybody else away from the file: the lock lasts as long as the loop devices that are attached to it.

    Raises `Failed` with ``busy`` for a file that is another machine's disk, or is being edited.
    """
    for pause in (*_PAUSES, None):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            taken = "it is another machine's disk, or is being edited"
        else:
            if not (numbers := loop.find(file)):
                return
            taken = f"it is attached to the loop device {numbers[0]}"
        if pause is not None:
            time.sleep(pause)
    raise Failed(f"{path} is in use: {taken}", busy=True)
