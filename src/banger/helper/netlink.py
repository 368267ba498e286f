"""rtnetlink(7): a request, its attributes, and what the kernel answers.

Each request has a socket of its own and ends with the kernel's acknowledgement or the end of a dump, so nothing is ever
answered to the wrong one.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from .operation import Failed

GETLINK, SETLINK, GETADDR, NEWNEIGH = 18, 19, 22, 28

_HEADER = struct.Struct("=IHHII")
"""``struct nlmsghdr``: length, type, flags, sequence number, port."""
_ATTRIBUTE = struct.Struct("=HH")
"""``struct rtattr``: length, type."""
_NESTED, _TYPE = 0x8000, 0x3FFF
_REQUEST, _ACK, _REPLACE, _DUMP, _CREATE = 0x1, 0x4, 0x100, 0x300, 0x400
_INTERRUPTED = 0x10
"""NLM_F_DUMP_INTR: what was listed changed meanwhile."""
_ERROR, _DONE = 2, 3
_ROOM = 1 << 17
_SECONDS = 10.0
_ATTEMPTS = 10

Attributes = Mapping[int, bytes]


class Message(NamedTuple):
    """An answer: the fixed part that its type has, and all that follows."""

    body: bytes

    def parts(self, size: int) -> tuple[bytes, Attributes]:
        """The fixed part of that size, and the attributes behind it."""
        return self.body[:size], parsed(self.body[size:])


def attribute(kind: int, value: bytes) -> bytes:
    """An attribute as it is sent."""
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def nested(kind: int, *inner: bytes) -> bytes:
    """An attribute made of attributes."""
    return attribute(kind | _NESTED, b"".join(inner))


def parsed(data: bytes) -> Attributes:
    """Attributes by type."""
    found = {}
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _TYPE] = data[at + _ATTRIBUTE.size : at + length]
        at += length + -length % 4
    return found


def text(value: bytes) -> str:
    """A string's attribute."""
    return value.rstrip(b"\0").decode("utf-8", "replace")


def get(kind: int, body: bytes) -> Message | None:
    """The one object asked for; None when there is none. Raises `Failed`."""
    try:
        return next(iter(_answers(kind, 0, body)), None)
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.ENXIO):
            return None
        raise _failed(error) from None


def dump(kind: int, body: bytes) -> list[Message]:
    """All objects of a kind. Raises `Failed`."""
    for _ in range(_ATTEMPTS):
        try:
            return list(_answers(kind, _DUMP, body))
        except InterruptedError:
            continue
        except OSError as error:
            raise _failed(error) from None
    raise Failed("the host's network interfaces do not keep still", busy=True)


def change(kind: int, body: bytes) -> None:
    """Make or replace an object. Raises `Failed`."""
    try:
        list(_answers(kind, _CREATE | _REPLACE, body))
    except OSError as error:
        raise _failed(error) from None


def _answers(kind: int, flags: int, body: bytes) -> Iterator[Message]:
    """What the kernel says to one request. Raises `OSError`; `InterruptedError` for a list that is none."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as channel:
        channel.settimeout(_SECONDS)
        flags |= _REQUEST | (0 if flags & _DUMP == _DUMP else _ACK)
        channel.sendto(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body, (0, 0))
        while True:
            data, _, truncated, _ = channel.recvmsg(_ROOM)
            if truncated & socket.MSG_TRUNC:
                raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
            at = 0
            while at + _HEADER.size <= len(data):
                length, found, told, _, _ = _HEADER.unpack_from(data, at)
                inner = data[at + _HEADER.size : at + length]
                if told & _INTERRUPTED:
                    raise InterruptedError
                if found in (_ERROR, _DONE):
                    _raise_if_refused(inner)
                    return
                yield Message(inner)
                at += length + -length % 4


def _raise_if_refused(inner: bytes) -> None:
    """Both an acknowledgement and the end of a dump begin with an error number, negative; 0 is none."""
    (number,) = struct.unpack_from("=i", inner) if len(inner) >= 4 else (0,)
    if number < 0:
        raise OSError(-number, os.strerror(-number))


def _failed(error: OSError) -> Failed:
    return Failed(f"the kernel's network: {error.strerror or 'it does not answer'}", busy=error.errno == errno.EBUSY)
