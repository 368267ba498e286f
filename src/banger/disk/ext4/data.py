"""The blocks of a new filesystem, handed out in the order in which data arrives, and the writes that fill them.

Data goes straight to its final place: a few hundred small files with their padding make one pwritev of some 4 MiB.
The area jumps over superblock copies. Blocks whose file turns out not to exist (a later layer hid it in a way that
its name did not show) are given back with `release` and become holes of the host's file.

When the filesystem's size is fixed and the data does not fit, counting goes on without writing, so that the caller
can say what size would do.
"""

import ctypes
import os

from banger.disk.ext4.geometry import BLOCK, GROUP_BLOCKS, Geometry, has_superblock
from banger.disk.ext4.node import Content

WRITE_BYTES = 4 << 20
WRITE_BUFFERS = 1000
"""A pwritev takes at most IOV_MAX (1024) buffers."""

HOLE_UNIT = 64 << 10
"""Runs of zeros become holes in units of this size, counted from the start of the file, so that the result does not
depend on how the data was cut on its way here."""

_ZEROS = bytes(BLOCK)
_ZERO_UNIT = bytes(HOLE_UNIT)
_PUNCH_HOLE = 0x01 | 0x02
"""FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE (linux/falloc.h)."""


class DataArea:
    """Blocks of the file ``descriptor`` from behind the first group's head on."""

    def __init__(self, descriptor: int, geometry: Geometry) -> None:
        self.geometry = geometry
        self.next = geometry.head_blocks
        """The first block that nobody has."""
        self.free: list[tuple[int, int]] = []
        """Blocks before `next` that are free after all: (start, count)."""
        self._descriptor = descriptor
        self._limit = geometry.blocks_limit
        self._pending: list[bytes | bytearray] = []
        self._pending_bytes = 0
        self._pending_at = self.next
        self._stop = self._run_end(self.next)

    @property
    def overflowed(self) -> bool:
        return self.next > self._limit

    def _run_end(self, block: int) -> int:
        """The next head, or the end of what may be written."""
        group = block // GROUP_BLOCKS + 1
        while not has_superblock(group):
            group += 1
        return group * GROUP_BLOCKS

    def reserve(self, count: int) -> list[tuple[int, int]]:
        """Take ``count`` blocks: runs of (start, count)."""
        runs = []
        while count:
            if self.next == self._stop:
                self._jump()
            take = min(count, self._stop - self.next)
            runs.append((self.next, take))
            self.next += take
            count -= take
        return runs

    def reserve_together(self, count: int) -> int:
        """Take ``count`` blocks that lie together; returns the first."""
        left = self._stop - self.next
        if left < count:
            if left:
                self.free.append((self.next, left))
            self.next = self._stop
        return self.reserve(count)[0][0]

    def _jump(self) -> None:
        self.next += self.geometry.head_blocks
        self._stop = self._run_end(self.next)

    def write(self, content: Content, block: int, data: bytes | bytearray) -> None:
        """Append ``data`` at block ``block`` of a file, on the next free blocks of the disk."""
        length = len(data)
        count = -(-length // BLOCK)
        start = self.next
        if start + count <= self._stop:
            self.next = start + count
            _extend(content, block, start, count)
            self._queue(start, data, length)
            return
        done = 0
        for start, taken in self.reserve(count):
            part = data[done * BLOCK : (done + taken) * BLOCK]
            _extend(content, block + done, start, taken)
            self._queue(start, part, len(part))
            done += taken

    def write_sparse(self, content: Content, block: int, data: bytes) -> None:
        """As `write`, but leave out the `HOLE_UNIT`s that are zero. ``block`` is a multiple of the unit's blocks."""
        begin = 0
        for at in range(0, len(data), HOLE_UNIT):
            if data[at] == 0 and data.startswith(_ZERO_UNIT[: len(data) - at], at):
                if begin < at:
                    self.write(content, block + begin // BLOCK, data[begin:at])
                begin = at + HOLE_UNIT
        if begin < len(data):
            self.write(content, block + begin // BLOCK, data[begin:] if begin else data)

    def _queue(self, start: int, data: bytes | bytearray, length: int) -> None:
        if start * BLOCK != self._pending_at * BLOCK + self._pending_bytes:
            self.flush()
            self._pending_at = start
        self._pending.append(data)
        padding = -length % BLOCK
        if padding:
            self._pending.append(_ZEROS[:padding])
        self._pending_bytes += length + padding
        if self._pending_bytes >= WRITE_BYTES or len(self._pending) >= WRITE_BUFFERS:
            self.flush()

    def flush(self) -> None:
        """Write what waits. Raises OSError."""
        buffers, offset = self._pending, self._pending_at * BLOCK
        remaining = self._pending_bytes
        self._pending, self._pending_bytes = [], 0
        self._pending_at = offset // BLOCK + remaining // BLOCK
        if self._pending_at > self._limit:
            return
        while remaining:
            written = os.pwritev(self._descriptor, buffers, offset)
            remaining -= written
            offset += written
            if remaining:
                buffers = [b"".join(buffers)[written:]]

    def put(self, block: int, data: bytes | bytearray | memoryview) -> None:
        """Write metadata to a reserved block."""
        if block < self._limit:
            _write_all(self._descriptor, data, block * BLOCK)

    def read(self, content: Content, limit: int) -> bytes:
        """The first ``limit`` bytes of a file that was written here."""
        self.flush()
        size = min(content.size, limit)
        data = bytearray(-(-size // BLOCK) * BLOCK)
        for block, start, count in content.extents:
            count = min(count, len(data) // BLOCK - block)
            if count > 0:
                part = os.pread(self._descriptor, count * BLOCK, start * BLOCK)
                data[block * BLOCK : block * BLOCK + len(part)] = part
        return bytes(data[:size])

    def release(self, content: Content) -> None:
        """Give back the blocks of a file that does not exist after all."""
        self.flush()
        for _, start, count in content.extents:
            self.free.append((start, count))
            if start + count <= self._limit:
                _punch(self._descriptor, start * BLOCK, count * BLOCK)
        content.extents = []


def _extend(content: Content, block: int, start: int, count: int) -> None:
    extents = content.extents
    if extents:
        last_block, last_start, last_count = extents[-1]
        if last_block + last_count == block and last_start + last_count == start:
            extents[-1] = (last_block, last_start, last_count + count)
            return
    extents.append((block, start, count))


def _write_all(descriptor: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset += written


def _punch(descriptor: int, offset: int, length: int) -> None:
    """Make a hole. A host filesystem that has none keeps the bytes, and the blocks are free all the same."""
    libc = ctypes.CDLL(None)
    libc.fallocate64(
        ctypes.c_int(descriptor), ctypes.c_int(_PUNCH_HOLE), ctypes.c_int64(offset), ctypes.c_int64(length)
    )
