"""Reading a machine's console: what is there, and what comes.

The file is written by the monitor and cut at its front when it outgrows its limit, so a reader that follows may find it
shorter than it was; it then goes on at the new end. Bytes are the guest's own, escapes and all.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable

from banger.vms import boot

CHUNK = 64 << 10
POLL_INTERVAL = 0.1


def path(directory: str) -> str:
    """The console of the machine with that directory."""
    return os.path.join(directory, boot.CONSOLE)


async def read(path: str, alive: Callable[[], bool] | None) -> AsyncIterator[bytes]:
    """The whole file in pieces; with ``alive`` also what is added for as long as that holds."""
    offset = 0
    while True:
        last = alive is None or not alive()  # asked before reading: what was written until then is read below
        while data := _piece(path, offset):
            offset += len(data)
            yield data
        if last:
            return
        await asyncio.sleep(POLL_INTERVAL)
        offset = min(offset, _size(path))


def _piece(path: str, offset: int) -> bytes:
    try:
        with open(path, "rb") as file:
            return os.pread(file.fileno(), CHUNK, offset)
    except FileNotFoundError:
        return b""


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0
