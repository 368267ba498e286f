"""A guest that turns on the host: the channel cuts it off, in bounded memory, and everyone who waits hears of it."""

# ruff: noqa: ASYNC110 - the guest waits without reading

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from banger import errors
from banger.guest import wire
from banger.guest.channel import Channel
from banger.guest.command import ExecSpec
from banger.vmm import sockets

MEMORY_BOUND = 16 << 20
YES = ExecSpec(argv=("yes",), stdin=True)


class Guest:
    """What the hostile side may do: answer the handshake, then anything."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.encoder = wire.Encoder(0)

    async def acknowledge(self, protocol: int = wire.PROTOCOL, version: bytes = b"evil") -> None:
        records = await self.reader.readexactly(wire.SYNC.size * wire.SYNC_COUNT)
        epoch = wire.SYNC.unpack_from(records)[1]
        self.encoder = wire.Encoder(epoch)
        self.writer.write(wire.ACK.pack(wire.ACK_MAGIC, epoch, protocol, 0, 0, version))
        await self.writer.drain()

    async def opened(self) -> int:
        """Wait for the host's next request; the number of its stream."""
        while True:
            header = await self.reader.readexactly(wire.HEADER.size)
            length, kind, _, _, stream = wire.HEADER.unpack(header)
            await self.reader.readexactly(length + wire.TAG.size)
            if kind == wire.Kind.OPEN:
                return int(stream)

    async def say(self, kind: int, stream: int = 1, payload: bytes = b"", channel: int = 0) -> None:
        self.writer.write(self.encoder.frame(kind, stream, payload, channel))
        await self.writer.drain()


Script = Callable[[Guest], Awaitable[None]]


def against(tmp_path: Path, guest: Script, host: Callable[[str], Awaitable[None]]) -> None:
    """Run the host's side against a guest's."""
    path = str(tmp_path / "agent.sock")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await guest(Guest(reader, writer))
            while await reader.read(1 << 16):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def go() -> None:
        server = await asyncio.start_unix_server(serve, path)
        async with asyncio.timeout(60):
            await host(path)
        server.close()
        await server.wait_closed()

    asyncio.run(go())


def expect(path_error: type[errors.BangerError], match: str | None = None) -> Callable[[str], Awaitable[None]]:
    """A host that runs a command and reads it to its end, which this guest must not let it reach."""

    async def host(path: str) -> None:
        channel = await Channel.attach(partial(sockets.connect, path), timeout=30)
        try:
            with pytest.raises(path_error, match=match):
                command = await channel.exec(YES)
                async for _ in command.output():
                    await asyncio.sleep(0)
                await command.wait()
            assert channel.closed
            with pytest.raises(errors.BangerError):
                await channel.health()
        finally:
            await channel.close()

    return host


def kinds(*frames: tuple[int, int, bytes, int]) -> Script:
    async def guest(guest: Guest) -> None:
        await guest.acknowledge()
        await guest.opened()
        for kind, stream, payload, channel in frames:
            await guest.say(kind, stream, payload, channel)

    return guest


K = wire.Kind
VIOLATIONS = {
    "a stream that nobody opened": kinds((K.DATA, 999, b"x", 1)),
    "a frame after the end": kinds((K.END, 1, wire.field(wire.Field.EXIT, 0), 0), (K.DATA, 1, b"x", 1)),
    "an unknown kind": kinds((77, 1, b"", 0)),
    "a request from the guest": kinds((K.OPEN, 1, b"", 1)),
    "data in a channel that is not there": kinds((K.STARTED, 1, b"", 0), (K.DATA, 1, b"x", 3)),
    "empty data": kinds((K.STARTED, 1, b"", 0), (K.DATA, 1, b"", 1)),
    "data after its end": kinds((K.STARTED, 1, b"", 0), (K.EOF, 1, b"", 1), (K.DATA, 1, b"x", 1)),
    "credit for nothing": kinds((K.STARTED, 1, b"", 0), (K.CREDIT, 1, b"\xff\xff\xff\xff", 0)),
    "credit of a wrong size": kinds((K.STARTED, 1, b"", 0), (K.CREDIT, 1, b"", 0)),
    "two starts": kinds((K.STARTED, 1, b"", 0), (K.STARTED, 1, b"", 0)),
    "fields that lie about their length": kinds((K.END, 1, b"\x20\xff\xff\xff\xff", 0)),
    "an end that says nothing": kinds((K.END, 1, b"", 0)),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_what_the_protocol_forbids_ends_the_attachment(name: str, tmp_path: Path) -> None:
    async def host(path: str) -> None:
        channel = await Channel.attach(partial(sockets.connect, path), timeout=30)
        try:
            with pytest.raises(errors.ProtocolViolation):
                command = await channel.exec(YES)
                async for _ in command.output():
                    pass
                await command.wait()
                await channel.wait_closed()
                await channel.health()
        finally:
            await channel.close()

    against(tmp_path, VIOLATIONS[name], host)


def test_a_guest_that_ignores_its_credit_is_cut_off_in_bounded_memory(tmp_path: Path) -> None:
    async def flood(guest: Guest) -> None:
        await guest.acknowledge()
        await guest.opened()
        await guest.say(K.STARTED)
        while True:
            await guest.say(K.DATA, 1, bytes(wire.MAX_PAYLOAD), 1)

    async def host(path: str) -> None:
        channel = await Channel.attach(partial(sockets.connect, path), timeout=30)
        command = await channel.exec(YES)
        await channel.wait_closed()
        with pytest.raises(errors.ProtocolViolation, match="credit"):
            await command.wait()
        await channel.close()

    tracemalloc.start()
    against(tmp_path, flood, host)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MEMORY_BOUND


def test_single_bytes_within_the_credit_cost_no_more_than_large_pieces(tmp_path: Path) -> None:
    async def trickle(guest: Guest) -> None:
        await guest.acknowledge()
        await guest.opened()
        await guest.say(K.STARTED)
        for _ in range(40_000):
            guest.writer.write(guest.encoder.frame(K.DATA, 1, b"x", 1) + guest.encoder.frame(K.DATA, 1, b"y", 2))
            await guest.writer.drain()
        await guest.say(K.END, 1, wire.field(wire.Field.EXIT, 0))

    async def host(path: str) -> None:
        channel = await Channel.attach(partial(sockets.connect, path), timeout=30)
        command = await channel.exec(YES)
        await command.wait()
        assert tracemalloc.get_traced_memory()[0] < 4 << 20
        sizes = {1: 0, 2: 0}
        async for number, data in command.output():
            sizes[number] += len(data)
        assert sizes == {1: 40_000, 2: 40_000}
        await channel.close()

    tracemalloc.start()
    against(tmp_path, trickle, host)
    tracemalloc.stop()


def test_endless_bytes_that_are_no_answer_fill_no_memory(tmp_path: Path) -> None:
    async def babble(guest: Guest) -> None:
        while True:
            guest.writer.write(wire.ACK_MAGIC * 4096)
            await guest.writer.drain()

    async def host(path: str) -> None:
        with pytest.raises(errors.GuestSilent):
            await Channel.attach(partial(sockets.connect, path), timeout=1)

    tracemalloc.start()
    against(tmp_path, babble, host)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MEMORY_BOUND


def test_a_frame_that_never_ends_and_a_length_that_lies_are_refused(tmp_path: Path) -> None:
    async def lie(guest: Guest) -> None:
        await guest.acknowledge()
        await guest.opened()
        guest.writer.write(b"\xff\xff\xff\x7f" + bytes(100_000))
        await guest.writer.drain()

    against(tmp_path, lie, expect(errors.ProtocolViolation, "malformed"))


def test_a_guest_that_closes_in_the_middle_is_lost_to_everyone(tmp_path: Path) -> None:
    async def vanish(guest: Guest) -> None:
        await guest.acknowledge()
        await guest.opened()
        await guest.say(K.STARTED)
        guest.writer.write(guest.encoder.frame(K.DATA, 1, b"half of it", 1)[:13])
        await guest.writer.drain()
        guest.writer.close()

    against(tmp_path, vanish, expect(errors.AgentLost))


def test_another_protocol_is_told_at_the_handshake(tmp_path: Path) -> None:
    async def host(path: str) -> None:
        with pytest.raises(errors.ProtocolViolation, match="version 9"):
            await Channel.attach(partial(sockets.connect, path), timeout=30)

    against(tmp_path, lambda guest: guest.acknowledge(protocol=9), host)


def test_a_guest_that_never_answers_is_silent_and_not_flooded(tmp_path: Path) -> None:
    received: list[int] = []

    async def sleep(guest: Guest) -> None:
        while data := await guest.reader.read(1 << 16):
            received.append(len(data))

    async def host(path: str) -> None:
        with pytest.raises(errors.GuestSilent):
            await Channel.attach(partial(sockets.connect, path), timeout=1.5)

    against(tmp_path, sleep, host)
    assert sum(received) < wire.SYNC.size * (wire.SYNC_COUNT + 5)


def test_a_guest_that_hangs_up_before_it_answers_is_called_again_within_the_limit(tmp_path: Path) -> None:
    calls: list[int] = []

    async def hang_up(guest: Guest) -> None:
        calls.append(1)
        if len(calls) == 3:
            await guest.acknowledge()
        elif len(calls) != 2:
            guest.writer.close()

    async def host(path: str) -> None:
        with pytest.raises(errors.GuestSilent):  # the second call is left unanswered
            await Channel.attach(partial(sockets.connect, path), timeout=0.7)
        channel = await Channel.attach(partial(sockets.connect, path), timeout=30)
        await channel.close()
        with pytest.raises(errors.GuestSilent):
            await Channel.attach(partial(sockets.connect, path), timeout=0.7)
        assert len(calls) < 20

    against(tmp_path, hang_up, host)


def test_a_guest_that_ends_nothing_that_was_closed_is_cut_off(tmp_path: Path) -> None:
    async def host(path: str) -> None:
        channel = await Channel.attach(partial(sockets.connect, path), timeout=30)
        with pytest.raises(errors.ProtocolViolation):
            for _ in range(800):
                command = await channel.exec(YES)
                await command.kill()
        assert channel.closed
        await channel.close()

    async def follow(guest: Guest) -> None:
        """STARTED for each OPEN, and never an END."""
        await guest.acknowledge()
        while True:
            await guest.say(K.STARTED, await guest.opened())

    against(tmp_path, follow, host)


def test_a_guest_that_reads_nothing_more_cannot_hold_its_attachment_open(tmp_path: Path) -> None:
    seen = False

    async def stare(guest: Guest) -> None:
        await guest.acknowledge()
        await guest.say(wire.Kind.STARTED, await guest.opened())
        while not seen:
            await asyncio.sleep(0.01)

    async def host(path: str) -> None:
        nonlocal seen
        channel = await Channel.attach(partial(sockets.connect, path), timeout=30)
        command = await channel.exec(YES)
        for _ in range(50_000):  # more than a socket holds
            await command.signal(0)
        try:
            async with asyncio.timeout(10):
                await channel.close()
        finally:
            seen = True

    against(tmp_path, stare, host)


def test_what_a_guest_says_of_itself_is_printable(tmp_path: Path) -> None:
    async def escape(guest: Guest) -> None:
        await guest.acknowledge()
        text = "\x1b]0;owned\x07\x1b[2J"
        await guest.opened()
        tags = (wire.Field.VERSION, wire.Field.BOOT_ID, wire.Field.PID1, wire.Field.HOSTNAME, wire.Field.LOAD)
        await guest.say(K.END, 1, b"".join(wire.field(tag, text) for tag in tags))
        refusal = wire.field(wire.Field.ERROR, wire.Refusal.FAILED) + wire.field(wire.Field.TEXT, text)
        await guest.opened()
        await guest.say(K.END, 2, refusal)

    async def host(path: str) -> None:
        channel = await Channel.attach(partial(sockets.connect, path), timeout=30)
        health = await channel.health()
        for said in (health.agent_version, health.boot_id, health.pid1, health.hostname, health.load):
            assert said
            assert said.isprintable()
        with pytest.raises(errors.GuestRefused) as caught:
            await channel.sync()
        assert caught.value.message.isprintable()
        await channel.close()

    against(tmp_path, escape, host)
