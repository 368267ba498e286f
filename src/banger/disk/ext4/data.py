"""The blocks of a new filesystem, handed out in the order in which data arrives, and the writes that fill them.

Data goes straight to its final place: a few hundred small files with their padding make one write of 4 MiB (`writer`).
The area jumps over superblock copies. Blocks whose file turns out not to exist (a later layer hid it in a way that
its name did not show) are given back with `release` and become holes of the host's file.

What is copied from other files is placed at once, and fetched by a thread of its own (`copier`), while the caller does
what needs no data. `settle` waits for all of it.

When the filesystem's size is fixed and the data does not fit, counting goes on without writing, so that the caller
can say what size would do.
"""

import ctypes
import os
from collections.abc import Iterable

from banger.disk.ext4.copier import Copier, Run
from banger.disk.ext4.geometry import BLOCK, GROUP_BLOCKS, Geometry, has_superblock
from banger.disk.ext4.node import Content, Extent
from banger.disk.ext4.source import Source
from banger.disk.ext4.writer import BUFFER, Stage, Writer

HOLE_UNIT = 64 << 10
"""Runs of zeros become holes in units of this size, counted from the start of the file, so that the result does not
depend on how the data was cut on its way here."""

_ZEROS = bytes(BLOCK)
_ZERO_UNIT = bytes(HOLE_UNIT)
_PUNCH_HOLE = 0x01 | 0x02
"""FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE (linux/falloc.h)."""


class DataArea:
    """Blocks of the file ``descriptor`` from behind the first group's head on. To be closed."""

    def __init__(self, descriptor: int, geometry: Geometry) -> None:
        self.geometry = geometry
        self.next = geometry.head_blocks
        """The first block that nobody has."""
        self.free: list[tuple[int, int]] = []
        """Blocks before `next` that are free after all: (start, count)."""
        self._descriptor = descriptor
        self._limit = geometry.blocks_limit
        self._writer = Writer(descriptor)
        self._stage = Stage(self._writer, geometry.blocks_limit * BLOCK)
        self._copier = Copier(descriptor, self._writer, geometry.blocks_limit)
        self._run: Run | None = None
        """What is to be copied next, and may grow."""
        self._holes: list[tuple[int, int]] = []
        """What was given back and is not a hole yet."""
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

    def write(self, content: Content, block: int, data: bytes | bytearray | memoryview) -> None:
        """Append ``data`` at block ``block`` of a file, on the next free blocks of the disk."""
        length = len(data)
        count = -(-length // BLOCK)
        start = self.next
        if start + count <= self._stop:
            self.next = start + count
            _extend(content, block, start, count)
            self._put_in(start, data, length)
            return
        view = memoryview(data)
        for start, taken in self.reserve(count):
            part = view[: taken * BLOCK]
            _extend(content, block, start, taken)
            self._put_in(start, part, len(part))
            view = view[taken * BLOCK :]
            block += taken

    def write_sparse(
        self, content: Content, block: int, piece: bytes | bytearray, begin: int = 0, end: int | None = None
    ) -> None:
        """As `write`, of ``piece[begin:end]``, but leave out the `HOLE_UNIT`s that are zero.

        ``block`` is a multiple of the unit's blocks.
        """
        view = memoryview(piece)
        end = len(piece) if end is None else end
        done = begin
        for at in range(begin, end, HOLE_UNIT):
            if piece[at] == 0 and piece.startswith(_ZERO_UNIT[: end - at], at):
                if done < at:
                    self.write(content, block + (done - begin) // BLOCK, view[done:at])
                done = at + HOLE_UNIT
        if done < end:
            self.write(content, block + (done - begin) // BLOCK, view[done:end])

    def copy(self, content: Content, extents: Iterable[Extent], source: Source) -> None:
        """Append the blocks that ``extents`` name in ``source``, where `write` would put their data.

        They are read later: ``source`` stays open until `settle` or `close` returns.
        """
        for block, begin, count in extents:
            for start, taken in self.reserve(count):
                _extend(content, block, start, taken)
                run = self._run
                if run is not None and run.continues(source, begin, start):
                    self._run = run._replace(blocks=run.blocks + taken)
                else:
                    self._copy_run()
                    self._run = Run(source, begin, start, taken)
                begin += taken
                block += taken

    def _copy_run(self) -> None:
        """Let what `copy` has collected be copied."""
        if self._run is not None:
            self._copier.copy(self._run)
            self._run = None

    def _put_in(self, start: int, data: bytes | bytearray | memoryview, length: int) -> None:
        """Put data and the zeros that fill its last block into the buffer."""
        stage = self._stage
        buffer = stage.room(start * BLOCK)
        fill = stage.fill
        end = fill + length
        if end > BUFFER:
            view = memoryview(data)
            taken = BUFFER - fill
            buffer[fill:] = view[:taken]
            stage.fill = BUFFER
            stage.hand_over()
            self._put_in(start + taken // BLOCK, view[taken:], length - taken)
            return
        buffer[fill:end] = data
        padding = -length % BLOCK
        if padding:
            buffer[end : end + padding] = _ZEROS[:padding]
        stage.fill = end + padding
        if stage.fill == BUFFER:
            stage.hand_over()

    def flush(self) -> None:
        """Let all that was copied so far be fetched, and all that was written go to the disk. Raises OSError."""
        self._copy_run()
        self._stage.hand_over()

    def settle(self) -> None:
        """Wait until all of it is in the file. Raises OSError, and `copier.Unreadable`."""
        self.flush()
        self._copier.drain()
        self._writer.drain()
        for start, count in self._holes:
            _punch(self._descriptor, start * BLOCK, count * BLOCK)
        self._holes.clear()

    def close(self) -> None:
        """Let the threads end; what was not settled is lost."""
        self._copier.close()
        self._writer.close()

    def put(self, block: int, data: bytes | bytearray | memoryview) -> None:
        """Write metadata to a reserved block."""
        if block < self._limit:
            _write_all(self._descriptor, data, block * BLOCK)

    def read(self, content: Content, limit: int) -> bytes:
        """The first ``limit`` bytes of a file that was written here."""
        self.settle()
        size = min(content.size, limit)
        data = bytearray(-(-size // BLOCK) * BLOCK)
        for block, start, count in content.extents:
            count = min(count, len(data) // BLOCK - block)
            if count > 0:
                part = os.pread(self._descriptor, count * BLOCK, start * BLOCK)
                data[block * BLOCK : block * BLOCK + len(part)] = part
        return bytes(data[:size])

    def release(self, content: Content) -> None:
        """Give back the blocks of a file that does not exist after all; they become holes with `settle`."""
        for _, start, count in content.extents:
            self.free.append((start, count))
            if start + count <= self._limit:
                self._holes.append((start, count))
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
