"""The agent's real binary on this host, through its operations and their worst cases."""

import asyncio
import hashlib
import os
import random
import signal
import socket
from pathlib import Path

import pytest

from banger import errors
from banger.guest import wire
from banger.guest.channel import Channel
from banger.guest.command import CommandEnd, ExecSpec
from tests.integration.guest.rig import PROJECT, Port, alive, build_agent, on_channel, ran, until

MEMORY_BOUND = 24 << 20
"""All that the agent may ever hold; an idle one is below 2 MiB."""


# -- the binary -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_the_binary_is_small_static_and_reproducible(arch: str, tmp_path: Path) -> None:
    first, second = (build_agent(tmp_path / name, arch).read_bytes() for name in ("one", "two"))
    assert first == second
    assert len(first) < 100_000
    assert first[:5] == b"\x7fELF\2"
    assert int.from_bytes(first[18:20], "little") == {"x86_64": 62, "aarch64": 183}[arch]
    assert b"/ld-musl" not in first, "it names a dynamic loader"
    assert str(PROJECT).encode() not in first, "it holds a path of the machine that built it"


def test_an_unchanged_binary_is_left_alone(tmp_path: Path) -> None:
    built = build_agent(tmp_path)
    before = built.stat().st_mtime_ns, built.stat().st_ino
    again = build_agent(tmp_path)
    assert (again.stat().st_mtime_ns, again.stat().st_ino) == before


# -- commands ---------------------------------------------------------------------------------------------------------

C_LIBRARY_SIGNALS = 0b111 << 31
"""Signals 32 to 34, which a C library keeps to itself: the one of the tests' Python has ignored one of them."""


def test_output_error_and_exit_code_are_kept_apart(port: Port) -> None:
    async def use(channel: Channel) -> None:
        assert await ran(channel, "sh", "-c", "echo out; echo err >&2; exit 3") == (
            b"out\n",
            b"err\n",
            CommandEnd(exit_code=3),
        )
        assert (await ran(channel, "true")).end == CommandEnd(exit_code=0)
        assert (await ran(channel, "sh", "-c", "exit 255")).end == CommandEnd(exit_code=255)

    on_channel(port.path, use)


def test_death_by_a_signal_is_not_an_exit_code(port: Port) -> None:
    async def use(channel: Channel) -> None:
        assert (await ran(channel, "sh", "-c", "kill -9 $$")).end == CommandEnd(signal=9)
        assert (await ran(channel, "sh", "-c", "exit 137")).end == CommandEnd(exit_code=137)

    on_channel(port.path, use)


def test_a_hundred_megabytes_come_through_unchanged_in_both_directions(port: Port) -> None:
    data = random.Random(1).randbytes(1 << 20) * 110

    async def use(channel: Channel) -> None:
        result = await ran(channel, "cat", stdin=data)
        assert result.end == CommandEnd(exit_code=0)
        assert hashlib.sha256(result.stdout).digest() == hashlib.sha256(data).digest()

    on_channel(port.path, use)
    assert port.memory() < MEMORY_BOUND


def test_two_streams_of_one_command_do_not_mix(port: Port) -> None:
    async def use(channel: Channel) -> None:
        script = "head -c 9000000 /dev/zero & head -c 9000000 /dev/zero | tr '\\0' x >&2; wait"
        result = await ran(channel, "sh", "-c", script)
        assert result.stdout == bytes(9_000_000)
        assert result.stderr == b"x" * 9_000_000

    on_channel(port.path, use)


def test_a_command_that_closes_its_input_early_ends_as_it_wants(port: Port) -> None:
    async def use(channel: Channel) -> None:
        result = await ran(channel, "sh", "-c", "head -c 4; exec <&-; sleep 0.2; exit 7", stdin=b"abcdefgh" * 500_000)
        assert result.stdout == b"abcd"
        assert result.end == CommandEnd(exit_code=7)

    on_channel(port.path, use)


def test_what_cannot_run_is_told_apart(port: Port, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    plain = tmp_path / "plain"
    plain.write_text("no program")

    async def use(channel: Channel) -> None:
        for name in ("no-such-command", "/no/such/command", str(plain / "below")):
            with pytest.raises(errors.CommandNotFound):
                await ran(channel, name)
        for name in (str(plain), str(tmp_path), str(script)):
            with pytest.raises(errors.CommandNotExecutable):
                await ran(channel, name)
        with pytest.raises(errors.GuestRefused, match="no user or group"):
            await ran(channel, "true", user="no-such-user")
        with pytest.raises(errors.NoWorkingDirectory, match="working directory"):
            await ran(channel, "true", cwd="/no/such/directory")
        with pytest.raises(errors.UsageError):
            await ran(channel, "")

    on_channel(port.path, use)


def test_environment_directory_and_user_reach_the_command(port: Port, tmp_path: Path) -> None:
    async def use(channel: Channel) -> None:
        result = await ran(channel, "env", env={"A": "ü b\nc", "HOME": "/elsewhere"})
        assert "A=ü b\nc\n" in result.stdout.decode()
        assert b"HOME=/elsewhere\n" in result.stdout
        assert b"PATH=/usr/local/sbin:" in result.stdout
        assert (await ran(channel, "pwd", cwd=str(tmp_path))).stdout.decode().strip() == str(tmp_path)
        me = f"{os.geteuid()}:{os.getegid()}"
        assert (await ran(channel, "id", "-u", user=me)).stdout.decode().strip() == str(os.geteuid())
        (tmp_path / "greet").write_text("#!/bin/sh\necho found on PATH\n")
        (tmp_path / "greet").chmod(0o755)
        assert (await ran(channel, "greet", env={"PATH": f"{tmp_path}:/usr/bin:/bin"})).stdout == b"found on PATH\n"

    on_channel(port.path, use)


def test_a_request_larger_than_a_frame_arrives_whole(port: Port) -> None:
    async def use(channel: Channel) -> None:
        text = "x" * 100_000
        assert (await ran(channel, "sh", "-c", 'printf %s "$1"', "sh", text)).stdout == text.encode()
        with pytest.raises(errors.UsageError, match="too long"):
            await ran(channel, "true", "x" * wire.MAX_REQUEST)

    on_channel(port.path, use)


def test_a_command_gets_nothing_of_the_agents(port: Port) -> None:
    async def use(channel: Channel) -> None:
        assert (await ran(channel, "sh", "-c", "ls /proc/self/fd | wc -l")).stdout.strip() == b"4"
        status = (await ran(channel, "cat", "/proc/self/status")).stdout.decode()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        assert int(fields["SigBlk"], 16) == 0
        assert int(fields["SigIgn"], 16) & ~C_LIBRARY_SIGNALS == 0
        assert (await ran(channel, "cat", "/proc/self/oom_score_adj")).stdout == b"0\n"

    on_channel(port.path, use)


def test_a_time_limit_ends_a_command_and_one_that_ignores_sigterm(port: Port) -> None:
    async def use(channel: Channel) -> None:
        assert (await ran(channel, "sleep", "1000", timeout=0.2)).end == CommandEnd(timed_out=True)
        stubborn = await ran(channel, "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done", timeout=0.2)
        assert stubborn.end == CommandEnd(timed_out=True)

    on_channel(port.path, use)


def test_signals_reach_the_whole_process_group(port: Port) -> None:
    async def use(channel: Channel) -> None:
        command = await channel.exec(ExecSpec(argv=("sh", "-c", "sleep 1000 & echo $!; wait")))
        output = command.output()
        child = int((await anext(output))[1])
        await command.signal(signal.SIGTERM)
        assert await command.wait() == CommandEnd(signal=signal.SIGTERM)
        await until(lambda: not alive(child))

    on_channel(port.path, use)


def test_a_client_that_gives_up_takes_its_command_along(port: Port) -> None:
    async def use(channel: Channel) -> None:
        script = "trap '' HUP TERM; echo $$; while :; do sleep 0.1; done"
        command = await channel.exec(ExecSpec(argv=("sh", "-c", script)))
        pid = int((await anext(command.output()))[1])
        await command.kill()
        assert (await command.wait()).signal == signal.SIGKILL
        assert not alive(pid)

    on_channel(port.path, use)


def test_a_descendant_that_keeps_the_pipes_does_not_keep_the_end(port: Port) -> None:
    async def use(channel: Channel) -> None:
        result = await ran(channel, "sh", "-c", "setsid sleep 5 & echo done")
        assert result == (b"done\n", b"", CommandEnd(exit_code=0))
        noisy = await ran(channel, "sh", "-c", "setsid timeout 5 yes & echo done >&2")
        assert noisy.end == CommandEnd(exit_code=0)

    on_channel(port.path, use, timeout=4)


def test_all_output_comes_before_the_end(port: Port) -> None:
    async def use(channel: Channel) -> None:
        for _ in range(20):
            assert len((await ran(channel, "head", "-c", "60000", "/dev/zero")).stdout) == 60_000

    on_channel(port.path, use)


def test_many_commands_run_at_a_time_and_one_too_many_is_told_so(port: Port) -> None:
    async def use(channel: Channel) -> None:
        commands = [await channel.exec(ExecSpec(argv=("cat",), stdin=True)) for _ in range(64)]
        with pytest.raises(errors.GuestRefused, match="more than 64"):
            await channel.exec(ExecSpec(argv=("true",)))
        for command in commands:
            await command.close_stdin()
        assert {(await command.wait()).exit_code for command in commands} == {0}
        assert (await ran(channel, "echo", "again")).stdout == b"again\n"

    on_channel(port.path, use)


# -- terminals --------------------------------------------------------------------------------------------------------


def test_a_terminal_has_the_size_asked_for_and_follows(port: Port) -> None:
    async def use(channel: Channel) -> None:
        assert (await ran(channel, "stty", "size", tty=(24, 81))).stdout == b"24 81\r\n"
        script = "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.1; done"
        command = await channel.exec(ExecSpec(argv=("bash", "-c", script), tty=(10, 20)))
        output = command.output()
        assert (await anext(output))[1] == b"ready\r\n"
        await command.resize(50, 132)
        assert (await anext(output))[1] == b"50 132\r\n"
        assert await command.wait() == CommandEnd(exit_code=0)

    on_channel(port.path, use)


def test_ctrl_c_ends_the_job_and_not_the_shell(port: Port) -> None:
    async def use(channel: Channel) -> None:
        command = await channel.exec(ExecSpec(argv=("bash", "--norc", "-i"), tty=(24, 80), stdin=True))
        said = bytearray()

        async def read_until(text: bytes) -> None:
            while text not in said:
                said.extend((await anext(output))[1])

        output = command.output()
        await command.write(b"echo read''y; sleep 1000; echo sta''tus $?\n")
        await read_until(b"ready\r\n")
        await asyncio.sleep(0.3)
        await command.write(b"\x03")
        await command.write(b"sleep 1000 & jobs; kill %1; echo still he''re\n")
        await read_until(b"still here\r\n")
        assert b"Running" in said
        await command.write(b"exit\n")  # ^D is lost on a shell that is not back at its prompt yet
        assert (await command.wait()).exit_code is not None

    on_channel(port.path, use)


def test_the_end_of_input_is_the_end_of_file_of_a_terminal(port: Port) -> None:
    async def use(channel: Channel) -> None:
        result = await ran(channel, "cat", tty=(24, 80), stdin=b"line\n")
        assert result.stdout.count(b"line\r\n") == 2, "the echo and the copy"
        assert result.end == CommandEnd(exit_code=0)

    on_channel(port.path, use)


# -- connections ------------------------------------------------------------------------------------------------------


def test_a_connection_carries_both_directions_and_ends_each_on_its_own(port: Port) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"got " + await reader.read())
        await writer.drain()
        writer.close()

    async def use(channel: Channel) -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        number = server.sockets[0].getsockname()[1]
        connection = await channel.dial(number)
        assert await connection.write(b"x" * 1_000_000)
        await connection.write_eof()
        received = bytearray()
        while data := await connection.read():
            received += data
        assert received == b"got " + b"x" * 1_000_000
        await connection.close()
        server.close()
        await server.wait_closed()
        with pytest.raises(errors.GuestRefused, match="refused"):
            await channel.dial(number)
        with pytest.raises(errors.GuestRefused, match="numeric"):
            await channel.dial(80, "example.org")

    on_channel(port.path, use)


# -- the machine ------------------------------------------------------------------------------------------------------


def test_health_tells_the_version_and_the_machine(port: Port) -> None:
    async def use(channel: Channel) -> None:
        health = await channel.health()
        assert health.agent_version == channel.hello.version
        assert health.protocol == wire.PROTOCOL
        assert health.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        assert health.hostname == socket.gethostname()
        assert health.memory_total > health.memory_available > 0
        assert health.uptime > 0

    on_channel(port.path, use)


def test_an_agent_that_looks_after_no_machine_turns_none_off(port: Port) -> None:
    async def use(channel: Channel) -> None:
        with pytest.raises(errors.GuestRefused, match="does not look after"):
            await channel.poweroff()
        with pytest.raises(errors.GuestRefused, match="malformed time"):
            await channel.set_clock(0)

    on_channel(port.path, use)
