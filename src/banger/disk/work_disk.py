"""A machine's work disk: an ext4 file system of the machine's own, which its guest has on ``/root``.

On disk, in the machine's directory::

    work.ext4           sparse, as large as the disk was asked to be; the file system in it may be smaller

It begins as a clone of its image's work seed, sharing the seed's blocks where the host's file system can, else as a
sparse copy; one that is to be smaller than the seed is written anew, and without a seed it is empty. The guest's loader
makes the file system as large as its disk whenever it mounts it, so that nothing is grown here but a hole.

From the first start on the guest writes it, so it is anybody's. What is read here is the superblock alone: 1024 bytes
at a fixed place, by the rules by which a kernel refuses to mount (magic, checksum, size). No tool parses the rest.
"""

import asyncio
import contextlib
import os
import stat
import struct
from collections.abc import Callable, Coroutine
from typing import Any

from banger import errors
from banger.disk import copy, lasting
from banger.disk.ext4 import volume
from banger.disk.ext4.checksum import ALL_ONES, crc
from banger.disk.ext4.data import DataArea
from banger.disk.ext4.geometry import SMALLEST, Geometry
from banger.disk.ext4.node import Node
from banger.disk.ext4.superblock import MADE_AT
from banger.disk.fresh import new_file

NAME = "work.ext4"
LABEL = b"banger-work"
LEAST = SMALLEST
"""Bytes of an empty one."""

_SUPERBLOCK_AT, _SUPERBLOCK = 1024, 1024
_MAGIC, _METADATA_CSUM = 0xEF53, 0x400
_SAW_ERRORS = 2
_NO_FILE_SYSTEM = "it holds no ext4 file system any more"


Fill = Callable[[str], Coroutine[Any, Any, None]]
"""Writes a new file of that name with the file system that a work disk begins as."""


def clone(seed: str) -> Fill:
    """As a clone or copy of a file."""
    return lambda path: copy.copy(seed, path, durable=False)


async def make(path: str, fill: Fill, size: int, *, durable: bool) -> None:
    """Make the file, ``size`` bytes long; what an earlier attempt left is replaced.

    ``durable``: it survives a power cut from here on. Raises `errors.DiskFull` and what else `errors.from_os` makes of
    it; after a failure all is as before.
    """
    async with lasting.replacing(path, durable=durable) as beside:
        await fill(beside)
        os.truncate(beside, max(size, os.path.getsize(beside)))  # never less than what is in it


def empty(size: int) -> Fill:
    """As an empty file system, whose root is root's own."""
    return lambda path: asyncio.to_thread(_empty, path, size)


def _empty(path: str, size: int) -> None:
    with new_file(path) as descriptor, contextlib.closing(DataArea(descriptor, Geometry(None))) as area:
        top = Node.directory(0o700, mtime=MADE_AT * 1_000_000_000)
        volume.write(descriptor, area, top, size=size, seed="work disk", label=LABEL)


def remove(path: str) -> None:
    """Remove it, and what is left of an attempt to make it. Idempotent."""
    for each in (f"{path}.new", path):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(each)


def check(path: str, size: int) -> bool:
    """Whether the guest's kernel has noted errors in the file system. Raises `errors.UnusableDisk` where no kernel
    would mount it, or where the file is not the one that was made."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size < size:
                raise errors.UnusableDisk(path=path, reason="the work disk's file is not as large as it was made")
            data = os.pread(descriptor, _SUPERBLOCK, _SUPERBLOCK_AT)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise errors.UnusableDisk(path=path, reason="the work disk is gone") from None
    except OSError as error:
        raise errors.from_os(error, path) from error
    fault = _fault(data, found.st_size)
    if fault:
        raise errors.UnusableDisk(path=path, reason=f"the work disk is damaged: {fault}")
    return bool(struct.unpack_from("<H", data, 0x3A)[0] & _SAW_ERRORS)


def _fault(data: bytes, size: int) -> str:
    """What keeps a kernel from mounting a file system with this superblock on a disk of ``size`` bytes."""
    if len(data) < _SUPERBLOCK or struct.unpack_from("<H", data, 0x38)[0] != _MAGIC:
        return _NO_FILE_SYSTEM
    low, log_block, features, high, checksum = (
        struct.unpack_from("<I", data, at)[0] for at in (0x04, 0x18, 0x64, 0x150, 0x3FC)
    )
    if features & _METADATA_CSUM and checksum != crc(ALL_ONES, data[:0x3FC]):
        return "its superblock's checksum is wrong"
    if log_block > 6:
        return _NO_FILE_SYSTEM
    if (high << 32 | low) * (1024 << log_block) > size:
        return "it claims to be larger than its disk"
    return ""
