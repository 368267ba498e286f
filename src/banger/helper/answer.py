"""One connection, from the bytes of its request to its reply and its line in the log.

Whatever goes wrong in between is told to the caller as far as there is one, and never raised. Who is asked, and what
the operation is, has been bounded by then: the peer's uid by the server, the frame by `protocol`, the arguments by
`values` and the operation itself.
"""

import contextlib
import socket
import time
from collections.abc import Mapping

from . import journal, protocol, turn, values
from .host import Host
from .operation import Failed, Operation, Outcome, Refused

SENDING = 5.0
"""Seconds that a request may take to arrive, and a reply to be taken."""

Operations = Mapping[str, type[Operation]]


def answer(connection: socket.socket, host: Host, operations: Operations, peer: tuple[int, int]) -> None:
    """Perform what the connection asks for; ``peer`` is the pid and uid at its other end."""
    begun = time.monotonic()
    told: dict[str, object] = {"pid": peer[0], "uid": peer[1]}
    outcome = Outcome()
    reply: Mapping[str, object]
    try:
        outcome = _performed(connection, host, operations, told)
        reply = {"values": protocol.plain(outcome)}
        told["outcome"] = "done"
    except protocol.Lost as lost:
        journal.tell(**told, outcome="lost", reason=str(lost), ms=_milliseconds(begun))
        return
    except Refused as refused:
        reply = {"refused": str(refused)}
        told |= {"outcome": "refused", "reason": str(refused)}
    except Failed as failed:
        reply = {"failed": str(failed), "busy": failed.busy}
        told |= {"outcome": "failed", "reason": str(failed)}
    except Exception as error:
        reply = {"failed": f"an error of the helper's own ({type(error).__name__})", "busy": False}
        told |= {"outcome": "crashed", "reason": journal.trace(error)}
    told["ms"] = _milliseconds(begun)
    try:
        _send(connection, reply, outcome)
    except protocol.Lost as lost:
        told["unheard"] = str(lost)
    finally:
        protocol.close_all(outcome.descriptors)
        journal.tell(**told)


def _milliseconds(begun: float) -> float:
    return round((time.monotonic() - begun) * 1000, 1)


def _performed(connection: socket.socket, host: Host, operations: Operations, told: dict[str, object]) -> Outcome:
    """Read the request and do it; what is known of it goes to ``told`` as soon as it is."""
    body, descriptors = protocol.receive(connection, SENDING)
    try:
        request = protocol.parse_request(body)
        kind = operations.get(request.operation)
        if kind is None:
            raise Refused(f"there is no operation {request.operation[:40]!r}")
        told |= {"change": request.change, "operation": kind.NAME, "undo": request.undo}
        operation = values.decode(kind, request.arguments)
        with contextlib.suppress(Exception):
            told["what"] = operation.describe()
        expected = () if request.undo else kind.DESCRIPTORS
        if len(descriptors) != len(expected):
            raise Refused(f"{kind.NAME} takes {len(expected)} descriptors, not {len(descriptors)}")
        return turn.perform(operation, host, descriptors, undo=request.undo)
    finally:
        protocol.close_all(descriptors)


def _send(connection: socket.socket, reply: Mapping[str, object], outcome: Outcome) -> None:
    try:
        data = protocol.frame(reply)
    except Failed as failed:
        protocol.send(connection, protocol.frame({"failed": str(failed), "busy": False}), (), SENDING)
        return
    protocol.send(connection, data, outcome.descriptors, SENDING)


def refuse(connection: socket.socket, reason: str) -> None:
    """Tell somebody who may not ask, without waiting for what they say."""
    with contextlib.suppress(OSError):
        connection.setblocking(False)
        connection.send(protocol.frame({"refused": reason}))
