"""What monitors count of themselves: of each running machine the latest document, in a file beside its console.

Firecracker writes one a minute, and one at its end, to a pipe in its jail: what nobody takes out it drops, so neither
the host's disk nor its memory fills. Here it is taken out, and the last whole document replaces ``metrics.json``. A
monitor that was taken over may write what it likes, as fast as it likes: a pipe is read once in a while, no more than
it holds, and what is no JSON object is dropped.
"""

import asyncio
import contextlib
import json
import os

NAME = "metrics.json"
LIMIT = 1 << 16
"""Bytes of a document; what a pipe holds."""
PAUSE = 10.0
"""Seconds between two readings of one pipe."""


class Metrics:
    """The pipes of machines that run."""

    def __init__(self, pause: float = PAUSE) -> None:
        self._pause = pause
        self._pipes: dict[str, tuple[int, str]] = {}

    def keep(self, vm_id: str, descriptor: int, path: str) -> None:
        """Keep the latest of what comes out of a pipe, which does not block and is ours from here on, at ``path``."""
        self.forget(vm_id)
        self._pipes[vm_id] = (descriptor, path)
        self._await(vm_id, descriptor)

    def forget(self, vm_id: str) -> None:
        """Read a machine's pipe for the last time; what was kept stays."""
        if (known := self._pipes.pop(vm_id, None)) is not None:
            asyncio.get_running_loop().remove_reader(known[0])
            _take(*known)
            os.close(known[0])

    def _await(self, vm_id: str, descriptor: int) -> None:
        if vm_id in self._pipes and self._pipes[vm_id][0] == descriptor:
            asyncio.get_running_loop().add_reader(descriptor, self._read, vm_id)

    def _read(self, vm_id: str) -> None:
        descriptor, path = self._pipes[vm_id]
        loop = asyncio.get_running_loop()
        loop.remove_reader(descriptor)
        if _take(descriptor, path):
            loop.call_later(self._pause, self._await, vm_id, descriptor)
        else:
            self.forget(vm_id)


def _take(descriptor: int, path: str) -> bool:
    """Empty a pipe into the file; False when nobody writes to it any more."""
    try:
        said = os.read(descriptor, LIMIT)
    except BlockingIOError:
        return True
    if (document := latest(said)) is not None:
        with contextlib.suppress(OSError):  # the disk is full: the one before is kept
            _replace(path, document)
    return bool(said)


def latest(said: bytes) -> bytes | None:
    """The last line that is a JSON object; None for none."""
    for line in reversed(said.splitlines()):
        with contextlib.suppress(ValueError, RecursionError):
            if isinstance(json.loads(line), dict):
                return line
    return None


def _replace(path: str, document: bytes) -> None:
    beside = f"{path}.new"
    with open(beside, "wb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o600)) as file:
        file.write(document + b"\n")
    os.replace(beside, path)
