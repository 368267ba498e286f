"""Attachments to the agent: clients that die, dawdle, flood and lie."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from banger import errors
from banger.guest import wire
from banger.guest.channel import Channel
from banger.guest.command import CommandEnd, ExecSpec
from tests.integration.guest.rig import Port, alive, on_channel, ran, until

MEMORY_BOUND = 24 << 20
"""All that the agent may ever hold; an idle one is below 2 MiB."""


def half_a_life(path: str, chance: random.Random) -> None:
    """A client that is killed: it has half a frame on its way in each direction when its socket closes."""
    epoch = chance.getrandbits(64)
    encoder = wire.Encoder(epoch)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(path)
        client.sendall(wire.sync(epoch, 0, wire.SYNC_COUNT))
        decoder = wire.Decoder(epoch)
        while decoder.ack is None:
            list(decoder.feed(client.recv(4096)))
        request = wire.field(wire.Field.ARG, "cat") + wire.field(wire.Field.STDIN)
        client.sendall(encoder.frame(wire.Kind.OPEN, 1, request, wire.Operation.EXEC))
        flood = wire.field(wire.Field.ARG, "yes")
        client.sendall(encoder.frame(wire.Kind.OPEN, 2, flood, wire.Operation.EXEC))
        imitation = wire.sync(chance.getrandbits(64), 1, 40) + bytes(chance.randrange(30_000))
        frame = encoder.frame(wire.Kind.DATA, 1, imitation)
        client.recv(chance.randrange(1, 5000))
        client.sendall(frame[: chance.randrange(1, len(frame))])


def test_two_hundred_clients_die_with_half_a_frame_in_each_direction(port: Port) -> None:
    chance = random.Random(200)

    async def use(channel: Channel) -> None:
        result = await ran(channel, "cat", stdin=b"whole" * 1000)
        assert result == (b"whole" * 1000, b"", CommandEnd(exit_code=0))

    for number in range(200):
        half_a_life(port.path, chance)
        if number % 10 == 0:
            on_channel(port.path, use, timeout=30)
    on_channel(port.path, use, timeout=30)
    assert port.running()
    assert port.memory() < MEMORY_BOUND


def test_the_commands_of_a_lost_client_end_and_sessions_go_on(port: Port, tmp_path: Path) -> None:
    async def lose(channel: Channel) -> None:
        await channel.session_start(ExecSpec(argv=("sh", "-c", f"echo $$ > {tmp_path}/kept; exec sleep 1000")))
        await channel.exec(ExecSpec(argv=("sh", "-c", f"echo $$ > {tmp_path}/attached; exec sleep 1000")))
        await until(lambda: all((tmp_path / n).exists() and (tmp_path / n).read_text() for n in ("kept", "attached")))

    async def use(channel: Channel) -> None:
        await until(lambda: not alive(int((tmp_path / "attached").read_text())))
        assert alive(int((tmp_path / "kept").read_text()))
        (session,) = await channel.sessions()
        await channel.session_kill(session.id, signal.SIGKILL)

    on_channel(port.path, lose)
    on_channel(port.path, use)


def test_a_slow_reader_holds_up_the_command_and_fills_no_memory(port: Port) -> None:
    async def use(channel: Channel) -> None:
        commands = [await channel.exec(ExecSpec(argv=("yes",))) for _ in range(20)]
        await asyncio.sleep(0.5)
        assert port.memory() < MEMORY_BOUND
        assert (await ran(channel, "echo", "meanwhile")).stdout == b"meanwhile\n"
        for command in commands:
            await command.kill()

    on_channel(port.path, use)


def test_input_that_nobody_reads_stops_at_the_window(port: Port) -> None:
    async def use(channel: Channel) -> None:
        commands = [await channel.exec(ExecSpec(argv=("sleep", "1000"), stdin=True)) for _ in range(20)]
        writers = [asyncio.create_task(command.write(bytes(10_000_000))) for command in commands]
        await asyncio.sleep(0.5)
        assert not any(task.done() for task in writers)
        assert port.memory() < MEMORY_BOUND
        for command in commands:
            await command.kill()
        assert await asyncio.gather(*writers) == [False] * 20

    on_channel(port.path, use)


def test_an_idle_agent_uses_no_time(port: Port) -> None:
    def used() -> int:
        fields = Path(f"/proc/{port.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    on_channel(port.path, lambda channel: asyncio.sleep(0))
    before = used()
    time.sleep(1)
    assert used() - before <= 1


def fuzz_frames(chance: random.Random, encoder: wire.Encoder) -> bytes:
    """Frames that are well tagged, and nonsense otherwise."""
    parts = []
    for _ in range(60):
        kind = chance.choice([*range(1, 10), chance.randrange(256)])
        payload = chance.randbytes(chance.choice([0, 1, 4, 5, 13, 200]))
        if chance.random() < 0.4:
            tags = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14]
            payload = b"".join(
                wire.field(chance.choice(tags), chance.choice([b"", b"/nonexistent", b"\xff" * 8, bytes(8)]))
                for _ in range(4)
            )
        operation = chance.choice([0, 1, 2, 3, 4, 6, 7, 8, 9, 11, 13, 77]) if kind == 1 else chance.randrange(4)
        parts.append(encoder.frame(kind, chance.randrange(6), payload, operation))
    return b"".join(parts)


def test_malformed_frames_do_not_hurt_the_agent(port: Port) -> None:
    chance = random.Random(4)
    for _ in range(60):
        epoch = chance.getrandbits(64)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(port.path)
            client.sendall(wire.sync(epoch, 0, wire.SYNC_COUNT))
            client.sendall(fuzz_frames(chance, wire.Encoder(epoch)) + chance.randbytes(chance.randrange(2000)))
            client.recv(100)
        assert port.running()
    on_channel(port.path, lambda channel: check_echo(channel))
    assert port.memory() < MEMORY_BOUND


async def check_echo(channel: Channel) -> None:
    assert (await ran(channel, "echo", "well")).stdout == b"well\n"


def test_an_agent_s_end_is_told_to_everyone_who_waits(port: Port) -> None:
    async def use(channel: Channel) -> None:
        command = await channel.exec(ExecSpec(argv=("cat",), stdin=True))
        waiting = asyncio.create_task(command.wait())
        os.kill(port.pid, signal.SIGKILL)
        with pytest.raises(errors.AgentLost):
            await waiting
        assert channel.closed
        await channel.wait_closed()
        with pytest.raises(errors.AgentLost):
            await channel.health()

    on_channel(port.path, use)


def test_the_program_says_what_it_is_for(binary: Path) -> None:
    assert subprocess.run([binary], capture_output=True, timeout=10).returncode == 2
    said = subprocess.run([binary, "version"], capture_output=True, timeout=10, text=True, check=True).stdout
    assert said.strip()
