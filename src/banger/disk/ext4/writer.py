"""The way of file data to the disk: staged in a few large buffers, written by a thread of its own.

The writes go past the page cache where the host's file system allows it (O_DIRECT). An image is made durable before
it is published, so its data has to reach the disk in any case; here it does while the next data is inflated, and the
host neither finds memory for a copy of the image nor copies it there, which cost more than all of the parsing. What is
written otherwise to the same file (metadata) lies in other blocks.
"""

import errno
import fcntl
import mmap
import os
import queue
import threading

BUFFER = 4 << 20
_BUFFERS = 3
"""One is filled, one is written, one waits, or is filled by the thread that copies (`copier`)."""


class Writer:
    """Writes buffers to the file ``descriptor``. A fault of the thread is raised by the next call."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = unbuffered(descriptor, os.O_WRONLY)
        self._spare: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
        self._waiting: queue.SimpleQueue[tuple[memoryview, int, int] | None] = queue.SimpleQueue()
        for _ in range(_BUFFERS):
            self._spare.put(memoryview(mmap.mmap(-1, BUFFER)))
        self._fault: OSError | None = None
        self._thread: threading.Thread | None = None

    def buffer(self) -> memoryview:
        """A buffer of `BUFFER` bytes to be filled; waits until there is one. Raises OSError."""
        found = self._spare.get()
        if self._fault is not None:
            self._spare.put(found)
            raise self._fault
        return found

    def write(self, buffer: memoryview, length: int, offset: int) -> None:
        """Give a buffer back, to be written; ``length`` and ``offset`` are multiples of 4096."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="write", daemon=True)
            self._thread.start()
        self._waiting.put((buffer, length, offset))

    def drop(self, buffer: memoryview) -> None:
        """Give a buffer back as it is."""
        self._spare.put(buffer)

    def drain(self) -> None:
        """Wait until all is written; every buffer has been given back. Raises OSError."""
        held = [self._spare.get() for _ in range(_BUFFERS)]
        for each in held:
            self._spare.put(each)
        if self._fault is not None:
            raise self._fault

    def close(self) -> None:
        """End the thread and close what it wrote to."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
            self._thread = None
        os.close(self._descriptor)

    def _work(self) -> None:
        while (given := self._waiting.get()) is not None:
            buffer, length, offset = given
            try:
                if self._fault is None:
                    self._put(buffer[:length], offset)
            except OSError as fault:
                self._fault = fault
            self._spare.put(buffer)

    def _put(self, data: memoryview, offset: int) -> None:
        while data:
            try:
                written = os.pwrite(self._descriptor, data, offset)
            except OSError as fault:
                if fault.errno != errno.EINVAL or not _buffered(self._descriptor):
                    raise
                continue
            data, offset = data[written:], offset + written


class Stage:
    """A buffer of a `Writer` that is filled with data of consecutive blocks."""

    def __init__(self, writer: Writer, limit: int) -> None:
        self._writer = writer
        self._limit = limit
        """What ends behind it is dropped."""
        self._buffer: memoryview | None = None
        self._start = 0
        """The offset in the file that the buffer begins with."""
        self.fill = 0
        """How much of it is full; set by who fills it."""

    def room(self, offset: int) -> memoryview:
        """The buffer; what the file shall have at ``offset`` goes to `fill`. Raises OSError."""
        buffer = self._buffer
        if buffer is None or offset != self._start + self.fill:
            self.hand_over()
            self._start = offset
            self._buffer = buffer = self._writer.buffer()
        return buffer

    def hand_over(self) -> None:
        """Let what is in the buffer be written."""
        start, fill, buffer = self._start, self.fill, self._buffer
        if buffer is None:
            return
        self._start, self.fill, self._buffer = start + fill, 0, None
        if self._start > self._limit or not fill:
            self._writer.drop(buffer)
        else:
            self._writer.write(buffer, fill, start)


def unbuffered(descriptor: int, access: int) -> int:
    """The same file, opened past the page cache where that is possible."""
    try:
        return os.open(f"/proc/self/fd/{descriptor}", access | os.O_DIRECT | os.O_CLOEXEC)
    except OSError:  # its file system has no such writes, or there is no /proc
        return os.dup(descriptor)


def _buffered(descriptor: int) -> bool:
    """Give up writing past the page cache (the disk wants another alignment); False if that was not the cause."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~os.O_DIRECT)
    return bool(flags & os.O_DIRECT)
