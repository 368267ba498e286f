"""The kernel's device-mapper by ioctl(2): devices by name, as <linux/dm-ioctl.h> describes them.

Only device-mapper itself knows all of them: one that was made and got no table, as by a process that was killed in
between, has its name taken and is in neither /sys/block nor /dev.

udev is told, with every event, to leave the device alone (the flags of ``DM_COOKIE``), and is not waited for.
"""

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .operation import Failed

CONTROL = "/dev/mapper/control"

_HEADER = struct.Struct("=3I3IiIIIQ128s129s7x")
"""``struct dm_ioctl``: version; sizes of all and of this; targets; openers; flags; event, padding; device; names."""
_TARGET = struct.Struct("=QQiI16s")
"""``struct dm_target_spec``: first sector, sectors, status, where the next is, type; its parameters follow."""
_VERSION = (4, 0, 0)
_LIST, _CREATE, _REMOVE, _SUSPEND, _STATUS, _LOAD, _TABLE = 2, 3, 4, 6, 7, 9, 12
_OF_TABLE, _BUFFER_FULL = 1 << 4, 1 << 8
_LISTED = struct.Struct("=QI")
"""``struct dm_name_list``: device, where the next is; its name follows."""
_UNSEEN = 0x4F << 16
"""Of udev's rules none but the last: not those for names, subsystems, disks, others; 0x40: libdevmapper's own event."""
_ROOM = 16 << 10
_MOST = 1 << 20


_ABSENT = (errno.ENOENT, errno.ENODEV, errno.ENXIO)


class Absent(Failed):
    """There is no such device, or no device-mapper."""


class Status(NamedTuple):
    """A device that is there, finished or not."""

    uuid: str
    rdev: int
    openers: int


def create(name: str, uuid: str, lines: Sequence[str]) -> None:
    """Make a device of the lines of a table (``first sectors type parameters``). Raises `Failed`, and there is none."""
    with _control() as control:
        _ask(control, _CREATE, name, uuid=uuid)
        try:
            _ask(control, _LOAD, name, targets=[_encoded(line) for line in lines])
            _ask(control, _SUSPEND, name)  # without its flag: resume, with the table that was loaded
        except Failed:
            with contextlib.suppress(Failed):
                _ask(control, _REMOVE, name)
            raise


def remove(name: str) -> None:
    """Remove a device. Raises `Failed`, busy while somebody has it open."""
    with _control() as control:
        _ask(control, _REMOVE, name)


def find(name: str) -> Status | None:
    """What is there by that name; None for nothing. Raises `Failed`."""
    try:
        with _control() as control:
            found = _HEADER.unpack_from(_ask(control, _STATUS, name))
    except Absent:
        return None
    return Status(_text(found[12]), found[10], found[6])


def names() -> list[str]:
    """Of every device of the host. Raises `Failed`."""
    try:
        answer, at, _ = _answered(_LIST, "", 0)
    except Absent:
        return []
    found, following = [], at
    while following:
        device, following = _LISTED.unpack_from(answer, at)
        if device:  # where there is none at all, the one entry says nothing
            found.append(_text(answer[at + _LISTED.size :]))
        at += following
    return found


def table(name: str) -> list[str]:
    """The lines of what is in force; none for a device that was never finished. Raises `Failed`."""
    return _told(name, _OF_TABLE)


def status(name: str) -> list[str]:
    """What each target says of itself, after its first sector, sectors and type. Raises `Failed`."""
    return _told(name, 0)


@contextlib.contextmanager
def _control() -> Iterator[int]:
    try:
        control = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        fault = Absent if error.errno in _ABSENT else Failed
        raise fault(f"the kernel has no device-mapper: {CONTROL}: {error.strerror}") from None
    try:
        yield control
    finally:
        os.close(control)


def _told(name: str, flags: int) -> list[str]:
    return list(_decoded(*_answered(_TABLE, name, flags)))


def _answered(command: int, name: str, flags: int) -> tuple[bytes, int, int]:
    """An answer of any length; where its data begins, and how many targets there are."""
    room = _ROOM
    with _control() as control:
        while True:
            answer = _ask(control, command, name, flags=flags, room=room)
            found = _HEADER.unpack_from(answer)
            if not found[7] & _BUFFER_FULL:
                return answer, found[4], found[5]
            room *= 2
            if room > _MOST:
                raise Failed(f"device-mapper: the answer about {name or 'all devices'} is longer than any of ours")


def _ask(
    control: int,
    command: int,
    name: str,
    *,
    uuid: str = "",
    flags: int = 0,
    targets: Sequence[bytes] = (),
    room: int = 0,
) -> bytes:
    data = b"".join(targets)
    size = _HEADER.size + max(len(data), room)
    event = _UNSEEN if command in (_SUSPEND, _REMOVE) else 0
    asked = bytearray(size)
    _HEADER.pack_into(
        asked, 0, *_VERSION, size, _HEADER.size, len(targets), 0, flags, event, 0, 0, name.encode(), uuid.encode()
    )
    asked[_HEADER.size : _HEADER.size + len(data)] = data
    try:
        fcntl.ioctl(control, 3 << 30 | _HEADER.size << 16 | 0xFD << 8 | command, asked)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise Absent(f"device-mapper: {name}: {error.strerror}") from None
        raise Failed(f"device-mapper: {name}: {error.strerror}", busy=error.errno == errno.EBUSY) from None
    return bytes(asked)


def _encoded(line: str) -> bytes:
    first, sectors, kind, parameters = line.split(" ", 3)
    said = parameters.encode("ascii") + b"\0"
    said += bytes(-len(said) % 8)
    return _TARGET.pack(int(first), int(sectors), 0, _TARGET.size + len(said), kind.encode("ascii")) + said


def _decoded(answer: bytes, begin: int, count: int) -> Iterator[str]:
    at = begin
    for _ in range(count):
        first, sectors, _, following, kind = _TARGET.unpack_from(answer, at)
        said = answer[at + _TARGET.size :].partition(b"\0")[0]
        yield f"{first} {sectors} {_text(kind)} {_text(said)}"
        at = begin + following


def _text(value: bytes) -> str:
    return value.partition(b"\0")[0].decode("ascii", "replace")
