"""The sockets that listen in a guest, as its agent tells them: a stream of records, bounded and held to a grammar.

A record has the transport (6 or 17, as in the kernel's tables), an address of 4 or 16 bytes, a port from 1 to 65535
and, where the agent could find it, the process: its id and its name, which is any bytes that a program likes. After the
last record there may be MORE: the guest has more sockets than are told, or was too slow.
"""

import contextlib
from collections.abc import AsyncGenerator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal, NamedTuple

from banger import errors
from banger.guest import wire
from banger.log import printable

MOST = 1024
"""Sockets that an agent tells of."""

BYTES_LIMIT = MOST * 256
NAME_LIMIT = 64
PID_LIMIT = 1 << 22
"""The largest that a kernel gives out (PID_MAX_LIMIT)."""

Transport = Literal["tcp", "udp"]
TRANSPORTS: dict[int, Transport] = {6: "tcp", 17: "udp"}


class Listener(NamedTuple):
    """One socket. An address of IPv4 in the form of IPv6 is told as what it is."""

    transport: Transport
    address: IPv4Address | IPv6Address
    port: int
    pid: int | None = None
    process: str = ""
    """Printable."""


class Listeners(NamedTuple):
    """In the order of their ports, each once, however many sockets of one process are the same."""

    sockets: list[Listener]
    complete: bool


async def gather(pieces: AsyncGenerator[bytes]) -> Listeners:
    """All of the stream. Raises `errors.ProtocolViolation`, and what ``pieces`` raises."""
    data = bytearray()
    async with contextlib.aclosing(pieces):
        async for piece in pieces:
            data += piece
            if len(data) > BYTES_LIMIT:
                raise errors.ProtocolViolation(reason="more about its sockets than there can be")
    return decode(bytes(data))


def decode(data: bytes) -> Listeners:
    """What the records say. Raises `errors.ProtocolViolation` for what is no such record."""
    told = wire.Result(data)
    records = told.records(wire.Field.RECORD)
    if len(records) > MOST:
        raise errors.ProtocolViolation(reason="more sockets than it may tell of")
    sockets = sorted(set(map(_listener, records)), key=_order)
    return Listeners(sockets, wire.Field.MORE not in told)


def _listener(record: wire.Result) -> Listener:
    transport = TRANSPORTS.get(record.number(wire.Field.TRANSPORT))
    port, pid = record.number(wire.Field.LOCAL_PORT), record.number(wire.Field.PID)
    packed = record.value(wire.Field.ADDRESS)
    if transport is None or len(packed) not in (4, 16) or not 0 < port < 1 << 16 or pid > PID_LIMIT:
        raise errors.ProtocolViolation(reason="a socket that cannot be")
    address = ip_address(packed)
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    name = printable(record.text(wire.Field.NAME), NAME_LIMIT)
    return Listener(transport, address, port, pid or None, name if pid else "")


def _order(each: Listener) -> tuple[object, ...]:
    return each.port, each.transport, each.address.version, each.address.packed, each.pid or 0, each.process
