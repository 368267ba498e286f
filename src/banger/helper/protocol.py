"""How a request travels: one a connection, on a unix stream socket, each way one frame.

    frame    4 bytes, big endian: the length of what follows, at most `LIMIT`
             one JSON object in UTF-8
    request  {"operation": NAME, "arguments": {...}, "undo": bool, "change": "the operation id of the change"}
    reply    {"values": {...}}, or {"refused": reason}, or {"failed": reason, "busy": bool}

Descriptors travel with a frame's first bytes (SCM_RIGHTS), at most `DESCRIPTORS`; what comes with later bytes is
dropped by the kernel. The limit is that of a file written into a guest: 6 MiB of content are 8 MiB of base64.

Parsing is bounded in memory before it begins: a document of many small values would take fifty times its own size as
Python objects, so the characters that make values are counted first (`VALUES`). Content in base64 has none of them.
"""

import json
import os
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import grammar
from .operation import Failed, Outcome, Refused

VERSION = 1
LIMIT = 8 << 20
DESCRIPTORS = 8
VALUES = 20_000
"""Most commas and brackets in a request."""

HEADER = struct.Struct(">I")
_NUMBER = struct.Struct("i")
ROOM = socket.CMSG_SPACE(DESCRIPTORS * _NUMBER.size)
"""Bytes of ancillary data that one receives; the kernel drops what is beyond, and says so."""


@dataclass(frozen=True)
class Request:
    """What was asked for, in its outer form: the arguments are judged by the operation's type."""

    operation: str
    arguments: object
    undo: bool = False
    change: str = ""


class Lost(Exception):
    """The other end went away, or took too long, before its frame was whole."""


def frame(document: Mapping[str, object]) -> bytes:
    """A document as it travels. Raises `Failed` for one that is too large."""
    body = json.dumps(document, separators=(",", ":")).encode()
    if len(body) > LIMIT:
        raise Failed(f"{len(body)} bytes are more than the {LIMIT} that a message may have")
    return HEADER.pack(len(body)) + body


def request_frame(request: Request) -> bytes:
    """A request as it travels; its arguments are JSON values."""
    return frame(
        {
            "operation": request.operation,
            "arguments": request.arguments,
            "undo": request.undo,
            "change": request.change,
        }
    )


def parse_request(body: bytes) -> Request:
    """The request in a frame's body. Raises `Refused`, and nothing else."""
    document = parse(body)
    unknown = document.keys() - {"operation", "arguments", "undo", "change"}
    if unknown:
        raise Refused(f"a request has no {min(unknown)[:40]!r}")
    operation, change, undo = document.get("operation"), document.get("change", ""), document.get("undo", False)
    if not isinstance(operation, str) or not isinstance(change, str) or not isinstance(undo, bool):
        raise Refused("a request names an operation, whether to undo it, and its change")
    return Request(operation, document.get("arguments", {}), undo, grammar.change(change))


def parse_reply(body: bytes) -> Mapping[str, object]:
    """The values of a reply. Raises what it tells of: `Refused` or `Failed`; `ValueError` for what is no reply."""
    document = json.loads(body)
    match document:
        case {"values": dict(values)}:
            return values
        case {"refused": str(reason)}:
            raise Refused(reason)
        case {"failed": str(reason), "busy": bool(busy)}:
            raise Failed(reason, busy=busy)
    raise ValueError("not a reply")


def parse(body: bytes) -> dict[str, object]:
    """The object in a frame's body, with bounded memory. Raises `Refused`."""
    if sum(map(body.count, (b",", b"[", b"{"))) > VALUES:
        raise Refused("the request has too many values")
    try:
        document = json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_constant)
    except RecursionError:
        raise Refused("the request is nested too deeply") from None
    except ValueError as error:
        raise Refused(f"the request is not JSON: {str(error)[:100]}") from None
    if not isinstance(document, dict):
        raise Refused("the request is no object")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _constant(name: str) -> object:
    raise ValueError(f"{name} is no number")


def plain(outcome: Outcome) -> Mapping[str, object]:
    """The values of an outcome as their receiver sees them, whichever way they go: tuples are lists there."""
    values: Mapping[str, object] = json.loads(json.dumps(dict(outcome.values)))
    return values


def descriptors_in(ancillary: Sequence[tuple[int, int, bytes]]) -> list[int]:
    """The descriptors that `socket.recvmsg` received; from here on they are ours to close."""
    found = []
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            whole = len(data) - len(data) % _NUMBER.size  # a truncated message may end within a number
            found += [number for (number,) in _NUMBER.iter_unpack(data[:whole])]
    return found


def length_of(header: bytes) -> int:
    """The length that a frame's header tells. Raises `Refused` for one beyond the limit."""
    (length,) = HEADER.unpack(header)
    if length > LIMIT:
        raise Refused(f"{length} bytes are more than the {LIMIT} that a request may have")
    return int(length)


def receive(connection: socket.socket, seconds: float) -> tuple[bytes, list[int]]:
    """One frame's body and the descriptors with it, all within ``seconds``; the caller closes them.

    Raises `Lost`, and `Refused` for a frame that is too large or has too many descriptors; none is left open then.
    """
    deadline = time.monotonic() + seconds
    descriptors: list[int] = []
    try:
        connection.settimeout(seconds)
        begun, ancillary, flags, _ = connection.recvmsg(HEADER.size, ROOM, socket.MSG_CMSG_CLOEXEC)
        descriptors += descriptors_in(ancillary)
        if flags & socket.MSG_CTRUNC:
            raise Refused(f"more than {DESCRIPTORS} descriptors")
        header = begun + _exactly(connection, HEADER.size - len(begun), deadline) if begun else b""
        if not header:
            raise Lost("nothing was sent")
        return _exactly(connection, length_of(header), deadline), descriptors
    except BaseException as error:
        close_all(descriptors)
        if isinstance(error, OSError):
            raise Lost("it took too long" if isinstance(error, TimeoutError) else str(error.strerror)) from None
        raise


def _exactly(connection: socket.socket, count: int, deadline: float) -> bytes:
    """``count`` bytes; memory grows with what has come, not with what was announced."""
    found = bytearray()
    while len(found) < count:
        left = deadline - time.monotonic()
        if left <= 0:
            raise Lost("it took too long")
        connection.settimeout(left)
        chunk = connection.recv(min(count - len(found), 1 << 18))
        if not chunk:
            raise Lost(f"it ended after {len(found)} of {count} bytes")
        found += chunk
    return bytes(found)


def send(connection: socket.socket, data: bytes, descriptors: Sequence[int], seconds: float) -> None:
    """A frame, its descriptors with the first bytes. Raises `Lost`."""
    deadline = time.monotonic() + seconds
    try:
        connection.settimeout(seconds)
        sent = connection.sendmsg([data], rights(descriptors))
        while sent < len(data):
            left = deadline - time.monotonic()
            if left <= 0:
                raise Lost("it took too long")
            connection.settimeout(left)
            sent += connection.send(data[sent : sent + (1 << 18)])
    except OSError as error:
        raise Lost("it took too long" if isinstance(error, TimeoutError) else str(error.strerror)) from None


def rights(descriptors: Sequence[int]) -> list[tuple[int, int, bytes]]:
    """The ancillary data that passes descriptors."""
    if not descriptors:
        return []
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, b"".join(map(_NUMBER.pack, descriptors)))]


def close_all(descriptors: Sequence[int]) -> None:
    """Close each of them."""
    for descriptor in descriptors:
        os.close(descriptor)
