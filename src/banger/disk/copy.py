"""A copy of a disk's file that takes no more space than it must: shared blocks where the file system can, holes kept.

The copy is made in steps between which it can be cancelled. The source may be anybody's and is only read.
"""

import asyncio
import contextlib
import errno
import fcntl
import os

FICLONE = 0x40049409
STEP = 64 << 20


async def copy(source: str, destination: str, *, durable: bool = True) -> None:
    """Write ``source`` to the new file ``destination``, durably unless told otherwise.

    A failure leaves no file. Raises OSError.
    """
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        writing = os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(reading).st_size
            at = await asyncio.to_thread(_begin, reading, writing, size)
            while at < size:
                at = await asyncio.to_thread(_copy, reading, writing, at, size)
            if durable:
                await asyncio.to_thread(os.fsync, writing)
        except BaseException:
            os.unlink(destination)
            raise
        finally:
            os.close(writing)
    finally:
        os.close(reading)


async def clone(source: str, destination: str) -> None:
    """Make the new file ``destination`` of the source's own blocks; a failure leaves no file. Raises OSError.

    EOPNOTSUPP, EXDEV and EINVAL say that the file system cannot.
    """
    with open(source, "rb") as reading, open(destination, "xb") as writing:
        try:
            await asyncio.to_thread(fcntl.ioctl, writing.fileno(), FICLONE, reading.fileno())
        except BaseException:
            os.unlink(destination)
            raise


def _clone(reading: int, writing: int) -> bool:
    """Share the source's blocks; False where the file system cannot."""
    with contextlib.suppress(OSError):
        fcntl.ioctl(writing, FICLONE, reading)
        return True
    return False


def _begin(reading: int, writing: int, size: int) -> int:
    """A clone, or the first step of a copy; returns where to go on."""
    if _clone(reading, writing):
        return size
    os.ftruncate(writing, size)
    return _copy(reading, writing, 0, size)


def _copy(reading: int, writing: int, at: int, size: int) -> int:
    """Copy what data there are after ``at``, one step of them at most; returns where to go on."""
    left = STEP
    while left > 0 and at < size:
        try:
            begin = os.lseek(reading, at, os.SEEK_DATA)
            at = min(os.lseek(reading, begin, os.SEEK_HOLE), begin + left, size)
        except OSError as error:
            if error.errno == errno.ENXIO:  # there are holes alone
                return size
            raise
        left -= at - begin
        while begin < at:
            data = os.pread(reading, min(1 << 20, at - begin), begin)
            if not data:
                raise OSError(errno.EIO, "it became shorter while it was copied")
            while data:
                count = os.pwrite(writing, data, begin)
                data, begin = data[count:], begin + count
    return at
