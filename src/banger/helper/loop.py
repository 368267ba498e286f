"""Loop devices by ioctl(2): a file of the owner's as a block device.

Every device is made with LO_FLAGS_AUTOCLEAR: the kernel detaches it when nobody has it open any more. Whoever attaches
one holds it by descriptor until device-mapper does, so a helper that is killed in between leaves nothing behind. A
device is known by the file behind it (`Status`, from the kernel), never by its number, which anybody may get next.

The kernel keeps the open file for as long as the device lives, and with it the file's flock(2): a lock that is taken
before `attach` lasts until the device is gone.

Partitions are never looked for. Direct I/O is asked for where pages would be cached twice for nothing; the kernel does
without it where the file system cannot. Blocks are 512 bytes, whatever lies below.
"""

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from .operation import Failed

_CONTROL = "/dev/loop-control"
_GET_FREE, _CONFIGURE, _GET_STATUS = 0x4C82, 0x4C0A, 0x4C05
_READ_ONLY, _AUTOCLEAR, _DIRECT = 1, 4, 16
_INFO = struct.Struct("=5Q4I64s64s32s2Q")
"""``struct loop_info64``: device, inode, rdevice, offset, limit; number, two of encryption, flags; names, key, init."""
_CONFIG_HEAD, _CONFIG_TAIL = struct.Struct("=II"), bytes(64)
"""``struct loop_config`` around it: the file and the size of a block, and what is reserved."""
BLOCK = 512
_ATTEMPTS = 64


class Status(NamedTuple):
    """What a device stands for. ``size`` 0 is all of the file from ``offset`` on."""

    device: int
    inode: int
    offset: int
    size: int
    read_only: bool


class Loop(NamedTuple):
    """An attached device, held by ``descriptor`` until that is closed. ``number`` is ``major:minor``."""

    descriptor: int
    path: str
    number: str


@contextlib.contextmanager
def attach(
    file: int, *, offset: int = 0, size: int = 0, read_only: bool = False, direct: bool = False
) -> Iterator[Loop]:
    """A device for the open file ``file``, attached at least as long as the context lasts.

    Raises `Failed`, with ``busy`` where others take every device first.
    """
    flags = _AUTOCLEAR | (_READ_ONLY if read_only else 0) | (_DIRECT if direct else 0)
    info = _INFO.pack(0, 0, 0, offset, size, 0, 0, 0, flags, b"banger", b"", b"", 0, 0)
    made = _configured(_CONFIG_HEAD.pack(file, BLOCK) + info + _CONFIG_TAIL, os.O_RDONLY if read_only else os.O_RDWR)
    try:
        yield made
    finally:
        os.close(made.descriptor)


def _configured(config: bytes, access: int) -> Loop:
    for _ in range(_ATTEMPTS):
        path = f"/dev/loop{_free()}"
        descriptor = -1
        try:
            descriptor = os.open(path, access | os.O_CLOEXEC)
            fcntl.ioctl(descriptor, _CONFIGURE, config)
        except OSError as error:
            if descriptor >= 0:
                os.close(descriptor)
            if error.errno != errno.EBUSY:  # somebody else took it in between
                raise Failed(f"{path} cannot be attached: {error.strerror}") from None
        else:
            found = os.fstat(descriptor).st_rdev
            return Loop(descriptor, path, f"{os.major(found)}:{os.minor(found)}")
    raise Failed("others take every free loop device first", busy=True)


def _free() -> int:
    """The number of a device that is free, or was a moment ago; the kernel makes one when there is none."""
    try:
        control = os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise Failed(f"this host has no loop devices: {_CONTROL}: {error.strerror}") from None
    try:
        return fcntl.ioctl(control, _GET_FREE)
    except OSError as error:
        raise Failed(f"no loop device is free: {error.strerror}", busy=True) from None
    finally:
        os.close(control)


def status(number: str) -> Status | None:
    """What the loop device ``major:minor`` stands for; None when it is none, or not attached."""
    try:
        name = os.path.basename(os.readlink(f"/sys/dev/block/{number}"))
        if not name.startswith("loop"):
            return None
        descriptor = os.open(f"/dev/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        info = bytearray(_INFO.size)
        fcntl.ioctl(descriptor, _GET_STATUS, info)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    device, inode, _, offset, size, _, _, _, flags, *_ = _INFO.unpack(info)
    return Status(device, inode, offset, size, bool(flags & _READ_ONLY))


def expected(file: int, *, offset: int = 0, size: int = 0, read_only: bool = False) -> Status:
    """The status that a device of this file has."""
    found = os.fstat(file)
    return Status(found.st_dev, found.st_ino, offset, size, read_only)


def find(file: int) -> list[str]:
    """The numbers of the devices that stand for this file, whoever attached them."""
    wanted = os.fstat(file)
    numbers = []
    for name in os.listdir("/sys/block"):
        if name.startswith("loop") and os.path.isdir(f"/sys/block/{name}/loop"):
            with contextlib.suppress(OSError), open(f"/sys/block/{name}/dev", encoding="ascii") as text:
                number = text.read().strip()
                found = status(number)
                if found is not None and (found.device, found.inode) == (wanted.st_dev, wanted.st_ino):
                    numbers.append(number)
    return numbers
