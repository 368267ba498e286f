"""A guest that turns on those who connect to it: nobody else is held up, and nothing is kept for it."""

import asyncio
import contextlib
import socket
import struct
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from banger.guest import wire
from banger.guest.channel import Channel
from banger.guest.relay import resettable
from banger.vmm import sockets
from banger.vms.listening import Listener
from banger.vms.published import Place
from tests.security.test_hostile_guest import Guest, K, against

Use = Callable[[int, Listener, asyncio.Semaphore, Channel], Awaitable[None]]
BOUND = 16 << 20


def listening(use: Use, places: int = 2) -> Callable[[str], Awaitable[None]]:
    """A host with a port that leads into the guest."""

    async def host(path: str) -> None:
        channel = await Channel.attach(partial(sockets.connect, path), timeout=30)
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = found.getsockname()[1]
        free = asyncio.Semaphore(places)
        listener = Listener(Place("127.0.0.1", port), 80, free, channel.dial, contextlib.nullcontext)
        try:
            await use(port, listener, free, channel)
        finally:
            await listener.close()
            await channel.close()

    return host


@contextlib.asynccontextmanager
async def client(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is looked at tells nobody
        await asyncio.sleep(0.01)


def test_connections_that_the_guest_never_ends_hold_up_their_own_kind_and_no_end(tmp_path: Path) -> None:
    async def follow(guest: Guest) -> None:
        """STARTED for each OPEN, and never an END."""
        await guest.acknowledge()
        while True:
            await guest.say(K.STARTED, await guest.opened())

    async def use(port: int, listener: Listener, free: asyncio.Semaphore, channel: Channel) -> None:
        for _ in range(2):
            async with client(port) as (_, writer):
                writer.write(b"x")
                await writer.drain()
                await until(lambda: bool(listener._carried))
                resettable(writer.get_extra_info("socket"))
            await until(lambda: not listener._carried)
        assert free.locked(), "nobody knows whether the guest still has something of them"
        async with client(port) as (reader, _):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await reader.read()
            async with asyncio.timeout(10):
                await listener.close()
            with pytest.raises(ConnectionError):
                await reader.read()

    against(tmp_path, follow, listening(use))


def test_a_guest_that_sends_without_end_fills_its_window_and_no_memory(tmp_path: Path) -> None:
    async def flood(guest: Guest) -> None:
        """As much as it may, and as long as it may, to a client that does not read."""
        await guest.acknowledge()
        stream = await guest.opened()
        await guest.say(K.STARTED, stream)
        left, piece = wire.WINDOW, bytes(wire.MAX_PAYLOAD)
        while True:
            while left >= len(piece):
                await guest.say(K.DATA, stream, piece, 1)
                left -= len(piece)
            length, kind, _, _, _ = wire.HEADER.unpack(await guest.reader.readexactly(wire.HEADER.size))
            payload = await guest.reader.readexactly(length + wire.TAG.size)
            if kind == K.CREDIT:
                left += struct.unpack_from("<I", payload)[0]

    async def use(port: int, listener: Listener, free: asyncio.Semaphore, channel: Channel) -> None:
        with socket.create_connection(("127.0.0.1", port)) as deaf:
            tracemalloc.start()
            try:
                await asyncio.sleep(1.5)
                assert tracemalloc.get_traced_memory()[1] < BOUND
            finally:
                tracemalloc.stop()
            assert not channel.closed
            assert deaf.recv(1) == b"\0"

    against(tmp_path, flood, listening(use))


def test_a_guest_that_breaks_the_protocol_breaks_its_connections(tmp_path: Path) -> None:
    async def exceed(guest: Guest) -> None:
        await guest.acknowledge()
        stream = await guest.opened()
        await guest.say(K.STARTED, stream)
        for _ in range(2 * wire.WINDOW // wire.MAX_PAYLOAD):
            await guest.say(K.DATA, stream, bytes(wire.MAX_PAYLOAD), 1)

    async def use(port: int, listener: Listener, free: asyncio.Semaphore, channel: Channel) -> None:
        loop = asyncio.get_running_loop()
        with socket.create_connection(("127.0.0.1", port)) as seen:
            await channel.wait_closed()
            await until(lambda: not listener._carried)
            seen.setblocking(False)
            with pytest.raises(ConnectionResetError):
                while True:
                    assert await loop.sock_recv(seen, 1 << 20), "what broke off is not taken for the whole"
        assert not free.locked()

    against(tmp_path, exceed, listening(use))
