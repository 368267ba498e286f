"""A file of the host whose blocks are copied into a new filesystem.

Images are written past the page cache (`writer`), so as a rule they are read past it too. What a machine has read of
one, or another build, is in memory all the same, and is taken from there at a multiple of any disk's speed. The kernel
is asked which it is (mincore(2)): reading without waiting would tell as well, but begins to read ahead.
"""

import ctypes
import mmap
import os

from banger.disk.ext4.writer import unbuffered

_RESIDENT = b"\1"


class Unreadable(Exception):
    """The disk does not give what a file has, or the file has become shorter."""


class Source:
    """The file ``path``, open. Raises OSError. To be closed."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._direct = unbuffered(self.descriptor, os.O_RDONLY)

    def close(self) -> None:
        """Close it; whoever deleted the file meanwhile took nothing away."""
        os.close(self._direct)
        os.close(self.descriptor)

    def read(self, target: memoryview, offset: int) -> None:
        """Fill ``target``, a part of a buffer; all is a multiple of 4096. Raises `Unreadable`."""
        descriptor = self.descriptor if _in_memory(self.descriptor, offset, len(target)) else self._direct
        while target:
            try:
                count = os.preadv(descriptor, [target], offset)
            except OSError:
                count = 0
            if count == 0 and descriptor == self.descriptor:
                raise Unreadable
            if count == 0:
                descriptor = self.descriptor  # the disk wants another alignment
            target = target[count:]
            offset += count


def _in_memory(descriptor: int, offset: int, length: int) -> bool:
    """Whether all of a part of a file is in the page cache."""
    aligned = offset // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
    length += offset - aligned
    pages = (ctypes.c_char * -(-length // mmap.PAGESIZE))()
    try:
        mapped = mmap.mmap(descriptor, length, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE, offset=aligned)
    except (OSError, ValueError):  # the file is shorter; reading it will tell
        return False
    with mapped:
        start = ctypes.c_char.from_buffer(mapped)
        failed = ctypes.CDLL(None).mincore(ctypes.byref(start), ctypes.c_size_t(length), pages)
        del start  # which keeps the file mapped
    return failed == 0 and pages.raw.count(_RESIDENT) == len(pages)
