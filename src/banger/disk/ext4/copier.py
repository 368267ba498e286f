"""Copies runs of blocks from other files into a new filesystem, in a thread of its own.

By reference where the host's file system has such (FICLONERANGE of XFS, btrfs and others: nothing is moved then),
otherwise through the buffers of the `writer`: this thread reads, that one writes, and who asked for the copy goes on.
"""

import fcntl
import queue
import struct
import threading
from typing import NamedTuple

from banger.disk.ext4.geometry import BLOCK
from banger.disk.ext4.source import Source, Unreadable
from banger.disk.ext4.writer import BUFFER, Stage, Writer

__all__ = ["Copier", "Run", "Unreadable"]

_FICLONERANGE = 0x4020940D
_CLONE_RANGE = struct.Struct("=qQQQ")
"""FICLONERANGE of linux/fs.h, and its argument."""

_CLONE_LEAST = 256
"""Blocks that are worth a reference of their own on the host."""


class Run(NamedTuple):
    """``blocks`` that lie together, from ``begin`` of ``source`` on, and shall lie at ``start``."""

    source: Source
    begin: int
    start: int
    blocks: int

    def continues(self, source: Source, begin: int, start: int) -> bool:
        """Whether blocks from ``begin`` on, to be put at ``start``, would make this run longer."""
        return source is self.source and begin == self.begin + self.blocks and start == self.start + self.blocks


class Copier:
    """Copies to the file ``descriptor``, whose blocks end at ``limit``, through ``writer``.

    A fault of the thread is raised by the next `drain`. To be closed before the writer.
    """

    def __init__(self, descriptor: int, writer: Writer, limit: int) -> None:
        self._descriptor = descriptor
        self._limit = limit
        self._stage = Stage(writer, limit * BLOCK)
        self._clones = True
        self._waiting: queue.SimpleQueue[Run | threading.Event | None] = queue.SimpleQueue()
        self._fault: Exception | None = None
        self._stopped = False
        self._thread: threading.Thread | None = None

    def copy(self, run: Run) -> None:
        """Let a run be copied; its source stays open until `drain` or `close` returns."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="copy", daemon=True)
            self._thread.start()
        self._waiting.put(run)

    def drain(self) -> None:
        """Wait until all is handed to the writer. Raises OSError, `Unreadable`."""
        if self._thread is not None:
            done = threading.Event()
            self._waiting.put(done)
            done.wait()
        if self._fault is not None:
            raise self._fault

    def close(self) -> None:
        """End the thread; what was not drained is lost."""
        self._stopped = True
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        while (given := self._waiting.get()) is not None:
            try:
                if isinstance(given, Run) and self._fault is None:
                    self._copy(given)
                if self._waiting.empty():
                    self._stage.hand_over()
            except (OSError, Unreadable) as fault:
                self._fault = fault
            if isinstance(given, threading.Event):
                given.set()
        self._stage.hand_over()

    def _copy(self, run: Run) -> None:
        source, begin, start, count = run
        count = min(count, self._limit - start)
        if count >= _CLONE_LEAST and self._cloned(source, begin, start, count):
            return
        stage = self._stage
        while count > 0 and not self._stopped:
            buffer = stage.room(start * BLOCK)
            taken = min(count, (BUFFER - stage.fill) // BLOCK)
            end = stage.fill + taken * BLOCK
            source.read(buffer[stage.fill : end], begin * BLOCK)
            stage.fill = end
            if end == BUFFER:
                stage.hand_over()
            begin += taken
            start += taken
            count -= taken

    def _cloned(self, source: Source, begin: int, start: int, count: int) -> bool:
        if not self._clones:
            return False
        try:
            request = _CLONE_RANGE.pack(source.descriptor, begin * BLOCK, count * BLOCK, start * BLOCK)
            fcntl.ioctl(self._descriptor, _FICLONERANGE, request)
        except OSError:  # two file systems, or one that cannot
            self._clones = False
        return self._clones
