"""The DNS server over real sockets, asked by dnspython's own client and by clients that misbehave."""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from ipaddress import IPv4Address

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import pytest

from banger.net import nameserver
from banger.net.nameserver import CLIENTS_OF_ONE, Server
from banger.net.zone import Zone

PATIENCE = 20.0
MANY = [IPv4Address("10.0.0.0") + number for number in range(100)]


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Server, dict[str, list[IPv4Address]], int]]:
    machines = {"web": [IPv4Address("127.64.0.2")], "many": MANY}
    server = Server(Zone(lambda name: machines.get(name, []), lambda _: None))
    port = await server.listen("127.0.0.1", 0)
    try:
        yield server, machines, port
    finally:
        await server.close()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def run(test: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


async def ask(port: int, name: str, *, stream: bool = False) -> dns.message.Message:
    query = dns.message.make_query(name, "A")
    way = dns.asyncquery.tcp if stream else dns.asyncquery.udp
    return await way(query, "127.0.0.1", PATIENCE, port)


def test_names_are_answered_as_they_are_at_the_moment() -> None:
    async def test() -> None:
        async with serving() as (server, machines, port):
            for stream in (False, True):
                assert "127.64.0.2" in (await ask(port, "web.vm", stream=stream)).answer[0].to_text()
                machines["new"] = machines.pop("web")
                assert (await ask(port, "web.vm", stream=stream)).rcode() == dns.rcode.NXDOMAIN
                machines["web"] = machines.pop("new")
            assert await server.listen("127.0.0.1", port) == port
            assert server.addresses == [IPv4Address("127.0.0.1")]

    run(test)


def test_a_long_answer_comes_whole_by_the_second_way() -> None:
    async def test() -> None:
        async with serving() as (_, _, port):
            query = dns.message.make_query("many.vm", "A")
            reply, by_tcp = await dns.asyncquery.udp_with_fallback(query, "127.0.0.1", PATIENCE, port=port)
            assert by_tcp
            assert len(reply.answer[0]) == len(MANY)

    run(test)


def test_several_questions_on_one_connection_and_in_pieces() -> None:
    async def test() -> None:
        async with serving() as (_, _, port), connected(port) as (reader, writer):
            wire = dns.message.make_query("web.vm", "A").to_wire()
            stream = (struct.pack("!H", len(wire)) + wire) * 3
            for at in range(0, len(stream), 7):
                writer.write(stream[at : at + 7])
                await writer.drain()
            for _ in range(3):
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                assert dns.message.from_wire(await reader.readexactly(length)).answer

    run(test)


def test_a_stranger_cannot_take_all_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nameserver, "IDLE_SECONDS", 0.5)

    async def test() -> None:
        async with serving() as (_, _, port), AsyncExitStack() as stack:
            idle = [await stack.enter_async_context(connected(port)) for _ in range(CLIENTS_OF_ONE)]
            extra, _ = await stack.enter_async_context(connected(port))
            assert await _ended(extra)
            assert (await ask(port, "web.vm")).answer, "UDP goes on"
            for reader, _ in idle:
                assert await _ended(reader), "who says nothing is let go"
            assert (await ask(port, "web.vm", stream=True)).answer

    run(test)


async def _ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


def test_a_flood_of_nonsense_is_survived() -> None:
    async def test() -> None:
        chance = random.Random(7)
        async with serving() as (server, _, port):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
                flood.setblocking(False)
                for number in range(2000):
                    flood.sendto(chance.randbytes(chance.randrange(600)), ("127.0.0.1", port))
                    if number % 50 == 0:
                        await asyncio.sleep(0)
            for text in (b"\x00", b"\x00\x00", b"\xff\xff" + bytes(100), b"GET / HTTP/1.1\r\n\r\n"):
                async with connected(port) as (_, writer):
                    writer.write(text)
            assert (await ask(port, "web.vm", stream=True)).answer
            assert (await ask(port, "web.vm")).answer
            assert server.addresses

    run(test)


def test_a_port_that_is_taken_is_told() -> None:
    async def test() -> None:
        async with serving() as (_, _, port):
            other = Server(Zone(lambda _: [], lambda _: None))
            with pytest.raises(OSError, match="in use"):
                await other.listen("127.0.0.1", port)
            assert other.addresses == []
            with socket.socket() as half:
                half.bind(("127.0.0.1", 0))
                half.listen()
                with pytest.raises(OSError, match="in use"):
                    await other.listen("127.0.0.1", half.getsockname()[1])
            assert other.addresses == []
            await other.close()

    run(test)
