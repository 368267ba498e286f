"""The records of an agent that says what it likes."""

from collections.abc import AsyncGenerator
from ipaddress import IPv4Address, IPv6Address
from typing import cast

import pytest

from banger import errors
from banger.guest import listeners, web, wire
from banger.guest.channel import Channel
from banger.guest.listeners import Listener
from tests.installation import scenario

Field = wire.Field
LOOPBACK = bytes([127, 0, 0, 1])
MORE = wire.field(Field.MORE)


def record(transport: int = 6, address: bytes = LOOPBACK, port: int = 80, pid: int = 0, name: bytes = b"") -> bytes:
    values: dict[int, int | bytes] = {
        Field.TRANSPORT: transport,
        Field.ADDRESS: address,
        Field.LOCAL_PORT: port,
        Field.PID: pid,
        Field.NAME: name,
    }
    return wire.field(Field.RECORD, b"".join(wire.field(tag, value) for tag, value in values.items()))


async def pieces(data: bytes, size: int = 100) -> AsyncGenerator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def test_records_are_sorted_and_each_told_once() -> None:
    data = record(17, bytes(4), 53, 7, b"dnsmasq") + 2 * record(6, bytes(16), 22, 9, b"sshd") + record(port=80)
    told = listeners.decode(data)
    assert told.complete
    assert told.sockets == [
        Listener("tcp", IPv6Address("::"), 22, 9, "sshd"),
        Listener("udp", IPv4Address("0.0.0.0"), 53, 7, "dnsmasq"),  # noqa: S104 - what is bound so in a guest
        Listener("tcp", IPv4Address("127.0.0.1"), 80),
    ]
    assert listeners.decode(b"") == ([], True)
    assert listeners.decode(MORE) == ([], False)


def test_an_address_of_ipv4_is_told_as_what_it_is() -> None:
    (found,) = listeners.decode(record(address=bytes(10) + b"\xff\xff" + LOOPBACK)).sockets
    assert found.address == IPv4Address("127.0.0.1")


def test_names_are_made_fit_to_be_shown() -> None:
    (found,) = listeners.decode(record(pid=4, name=b"\x1b[2J\xff\r\n" + "\u202e".encode() + b"x" * 500)).sockets
    assert found.process.isprintable()
    assert len(found.process) < 100
    (nameless,) = listeners.decode(record(name=b"nobody's")).sockets
    assert (nameless.pid, nameless.process) == (None, "")


@pytest.mark.parametrize(
    "bad",
    [
        record(transport=1),
        record(transport=1 << 63),
        record(address=b""),
        record(address=bytes(5)),
        record(port=0),
        record(port=1 << 16),
        record(pid=1 << 23),
        wire.field(Field.RECORD, b""),
        wire.field(Field.RECORD, b"\x36\x09\0\0\0abc"),
        wire.field(Field.RECORD, wire.field(Field.TRANSPORT, b"\6")),
        record()[:-1],
        (listeners.MOST + 1) * record(),
    ],
    ids=["protocol", "huge protocol", "no address", "odd address", "no port", "large port", "large pid", "empty",
         "torn", "short number", "cut", "too many"],
)  # fmt: skip
def test_what_cannot_be_is_refused(bad: bytes) -> None:
    with pytest.raises(errors.ProtocolViolation):
        listeners.decode(bad)


@scenario
async def test_a_stream_is_gathered_and_has_a_limit() -> None:
    told = await listeners.gather(pieces(100 * record() + MORE, 7))
    assert (len(told.sockets), told.complete) == (1, False)
    with pytest.raises(errors.ProtocolViolation, match="than there can be"):
        await listeners.gather(pieces(bytes(listeners.BYTES_LIMIT + 1), 4096))


@scenario
async def test_nothing_is_written_to_ports_of_other_protocols() -> None:
    nobody = cast(Channel, None)  # who would speak to it fails
    for port in (22, 25, 53, 3306, 5432, 6379):
        assert await web.scheme(nobody, port) is None
    with pytest.raises(AttributeError):
        await web.scheme(nobody, 8080)
