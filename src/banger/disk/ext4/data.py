"""The blocks of a new filesystem, handed out in the order in which data arrives, and the writes that fill them.

Data goes straight to its final place: a few hundred small files with their padding make one write of 4 MiB (`writer`).
The area jumps over superblock copies. Blocks whose file turns out not to exist (a later layer hid it in a way that
its name did not show) are given back with `release` and become holes of the host's file.

When the filesystem's size is fixed and the data does not fit, counting goes on without writing, so that the caller
can say what size would do.
"""

import ctypes
import fcntl
import os
import struct
from collections.abc import Iterable

from banger.disk.ext4.geometry import BLOCK, GROUP_BLOCKS, Geometry, has_superblock
from banger.disk.ext4.node import Content, Extent
from banger.disk.ext4.writer import BUFFER, Writer

HOLE_UNIT = 64 << 10
"""Runs of zeros become holes in units of this size, counted from the start of the file, so that the result does not
depend on how the data was cut on its way here."""

_ZEROS = bytes(BLOCK)
_ZERO_UNIT = bytes(HOLE_UNIT)
_FICLONERANGE = 0x4020940D
_CLONE_RANGE = struct.Struct("=qQQQ")
"""FICLONERANGE of linux/fs.h, and its argument."""

_CLONE_LEAST = 256
"""Blocks that are worth a reference of their own on the host."""

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
        self._clones = True
        self._buffer: memoryview | None = None
        self._start = self.next
        """The block that the buffer begins with."""
        self._fill = 0
        self._run: tuple[int, int, int, int] | None = None
        """Blocks to be copied: from which descriptor, from where, to where, how many."""
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
            self._stage(start, data, length)
            return
        view = memoryview(data)
        for start, taken in self.reserve(count):
            part = view[: taken * BLOCK]
            _extend(content, block, start, taken)
            self._stage(start, part, len(part))
            view = view[taken * BLOCK :]
            block += taken

    def write_sparse(self, content: Content, block: int, piece: bytes, begin: int = 0, end: int | None = None) -> None:
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

    def copy(self, content: Content, extents: Iterable[Extent], source: int) -> None:
        """Append the blocks that ``extents`` name in the file ``source``, where `write` would put their data.

        They are read when what follows them is known, at the latest by `flush`. Raises OSError, and EOFError when
        the source cannot be read.
        """
        for block, begin, count in extents:
            for start, taken in self.reserve(count):
                _extend(content, block, start, taken)
                run = self._run
                if run is not None and (source, begin, start) == (run[0], run[1] + run[3], run[2] + run[3]):
                    self._run = source, run[1], run[2], run[3] + taken
                else:
                    self._copy_run()
                    self._run = source, begin, start, taken
                begin += taken
                block += taken

    def _copy_run(self) -> None:
        """Copy what `copy` has collected: by reference on file systems that can, otherwise through the buffers."""
        if self._run is None:
            return
        source, begin, start, count = self._run
        self._run = None
        if start + count <= self._limit and count >= _CLONE_LEAST and self._cloned(source, begin, start, count):
            return
        while count:
            buffer, fill = self._room(start)
            taken = min(count, (BUFFER - fill) // BLOCK)
            end = fill + taken * BLOCK
            _read_all(source, buffer[fill:end], begin * BLOCK)
            self._fill = end
            if end == BUFFER:
                self._hand_over()
            begin += taken
            start += taken
            count -= taken

    def _cloned(self, source: int, begin: int, start: int, count: int) -> bool:
        if not self._clones:
            return False
        try:
            request = _CLONE_RANGE.pack(source, begin * BLOCK, count * BLOCK, start * BLOCK)
            fcntl.ioctl(self._descriptor, _FICLONERANGE, request)
        except OSError:  # two file systems, or one that cannot
            self._clones = False
        return self._clones

    def _room(self, start: int) -> tuple[memoryview, int]:
        """The buffer, and where in it block ``start`` is to be put."""
        if start != self._start + self._fill // BLOCK:
            self._hand_over()
            self._start = start
        if self._buffer is None:
            self._buffer = self._writer.buffer()
        return self._buffer, self._fill

    def _stage(self, start: int, data: bytes | bytearray | memoryview, length: int) -> None:
        """Put data and the zeros that fill its last block into the buffer."""
        if self._run is not None:
            self._copy_run()
        buffer, fill = self._room(start)
        end = fill + length
        if end > BUFFER:
            view = memoryview(data)
            taken = BUFFER - fill
            buffer[fill:] = view[:taken]
            self._fill = BUFFER
            self._hand_over()
            self._stage(self._start, view[taken:], length - taken)
            return
        buffer[fill:end] = data
        padding = -length % BLOCK
        if padding:
            buffer[end : end + padding] = _ZEROS[:padding]
        self._fill = end + padding
        if self._fill == BUFFER:
            self._hand_over()

    def flush(self) -> None:
        """Read what is to be copied, and hand over what is staged. Raises OSError and EOFError."""
        self._copy_run()
        self._hand_over()

    def _hand_over(self) -> None:
        start, fill, buffer = self._start, self._fill, self._buffer
        if buffer is None:
            return
        self._start, self._fill, self._buffer = start + fill // BLOCK, 0, None
        if self._start > self._limit or not fill:
            self._writer.drop(buffer)
        else:
            self._writer.write(buffer, fill, start * BLOCK)

    def settle(self) -> None:
        """Wait until all that was handed over is in the file. Raises OSError."""
        self.flush()
        self._writer.drain()

    def close(self) -> None:
        """Let the thread that writes end; what was not settled is lost."""
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
        """Give back the blocks of a file that does not exist after all."""
        self.settle()
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


def _read_all(descriptor: int, target: memoryview, offset: int) -> None:
    """Raises EOFError, also when the disk does not give what it has."""
    while target:
        try:
            count = os.preadv(descriptor, [target], offset)
        except OSError:
            count = 0
        if count == 0:
            raise EOFError
        target = target[count:]
        offset += count


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
