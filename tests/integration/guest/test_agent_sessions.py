"""Sessions of the agent's real binary on this host, and their worst cases."""
# ruff: noqa: ASYNC110 - a real process is waited for

import asyncio
import random
import signal
import time
from pathlib import Path

import pytest

from banger import errors
from banger.guest.channel import Channel
from banger.guest.command import CommandEnd
from banger.guest.session import Attaching, Attachment, Session
from tests.integration.guest.rig import Port, alive, on_channel, ran, until
from tests.integration.guest.talk import PATIENCE, ended, sent, started, whole

MEMORY_BOUND = 24 << 20


# -- life -------------------------------------------------------------------------------------------------------------


def test_sessions_outlive_their_attachment_and_keep_what_they_said(port: Port) -> None:
    found: list[str] = []

    async def begin(channel: Channel) -> None:
        found.append(await started(channel, "sh", "-c", "echo one; sleep 0.5; echo two; exit 5", cwd="/", name="a"))
        with pytest.raises(errors.CommandNotFound):
            await started(channel, "no-such-command")

    async def finish(channel: Channel) -> None:
        assert await whole(channel, found[0]) == b"one\ntwo\n"
        (listed,) = await channel.sessions()
        shown = await channel.session(found[0])
        for each in (listed, shown):
            assert (each.id, each.name, each.end) == (found[0], "a", CommandEnd(exit_code=5))
            assert (each.stdout_bytes, each.stderr_bytes, each.dropped_bytes) == (8, 0, 0)
            assert each.argv[:2] == ("sh", "-c")
            assert each.ended_ns > each.started_ns
            assert not (each.tty or each.stdin)
        assert (listed.cwd, shown.cwd) == ("", "/")

    on_channel(port.path, begin)
    on_channel(port.path, finish)


def test_a_session_gets_its_directory_environment_and_user(port: Port, tmp_path: Path) -> None:
    async def use(channel: Channel) -> None:
        id = await started(channel, "sh", "-c", "pwd; echo $A", cwd=str(tmp_path), env={"A": "ü b"})
        assert (await whole(channel, id)).decode() == f"{tmp_path}\nü b\n"

    on_channel(port.path, use)


def test_a_signal_reaches_the_group_and_the_result_is_kept(port: Port) -> None:
    async def use(channel: Channel) -> None:
        id = await started(channel, "sh", "-c", "sleep 1000 & echo $!; wait")
        attachment = await channel.session_attach(id, Attaching())
        child = int((await anext(attachment.output()))[1])
        await channel.session_kill(id, signal.SIGTERM)
        assert (await attachment.finished())[0] == CommandEnd(signal=signal.SIGTERM)
        await until(lambda: not alive(child))
        with pytest.raises(errors.SessionEnded):
            await channel.session_kill(id, signal.SIGTERM)
        with pytest.raises(errors.SessionEnded):
            await sent(channel, id, b"x")
        with pytest.raises(errors.SessionEnded):
            await channel.session_attach(id, Attaching(feed=True))
        assert await ended(channel, id) == CommandEnd(signal=signal.SIGTERM), "a dead session can be read"

    on_channel(port.path, use)


async def until_said(attachment: Attachment, text: bytes) -> bytes:
    """What it says until that is part of it."""
    log = b""
    async for _, data in attachment.output():
        log += data
        if text in log:
            break
    return log


def test_what_ignores_being_asked_to_end_is_killed(port: Port) -> None:
    async def use(channel: Channel) -> None:
        id = await started(channel, "sh", "-c", "trap '' TERM HUP; echo up; while :; do sleep 0.1; done")
        attachment = await channel.session_attach(id, Attaching())
        assert (await anext(attachment.output()))[1] == b"up\n"
        await channel.session_kill(id, signal.SIGTERM, stop=0.3)
        assert (await attachment.finished())[0] == CommandEnd(signal=signal.SIGKILL)
        ends = []
        for _ in range(3):  # a shell may lose a signal that comes beside another
            shell = await started(channel, "bash", "--norc", "-i", tty=(24, 80))
            prompt = await channel.session_attach(shell, Attaching(feed=True))
            await prompt.write(b"echo rea''dy\r")
            await until_said(prompt, b"ready\r\n")
            await channel.session_kill(shell, signal.SIGTERM, stop=10)
            ends.append(await ended(channel, shell))
            if ends[-1] != CommandEnd(signal=signal.SIGKILL):
                break
        assert ends[-1] != CommandEnd(signal=signal.SIGKILL), "its terminal is hung up"

    on_channel(port.path, use)


def test_a_time_limit_ends_a_session(port: Port) -> None:
    async def use(channel: Channel) -> None:
        assert await ended(channel, await started(channel, "sleep", "1000", timeout=0.2)) == CommandEnd(timed_out=True)

    on_channel(port.path, use)


def test_an_unknown_session_is_told_so_by_every_operation(port: Port) -> None:
    unknown = "0123456789abcdef"

    async def use(channel: Channel) -> None:
        for attempt in (
            channel.session(unknown),
            channel.session_kill(unknown, 15),
            channel.session_attach(unknown, Attaching()),
            sent(channel, unknown, b"x"),
        ):
            with pytest.raises(errors.NotFound):
                await attempt

    on_channel(port.path, use)


def test_a_name_is_that_of_one_session_that_runs(port: Port) -> None:
    async def use(channel: Channel) -> None:
        first = await started(channel, "cat", name="a", stdin=True)
        with pytest.raises(errors.AlreadyExists, match="'a'"):
            await started(channel, "true", name="a")
        with pytest.raises(errors.GuestRefused, match="too long"):
            await started(channel, "true", name="a" * 64)
        await sent(channel, first, eof=True)
        await ended(channel, first)
        with pytest.raises(errors.CommandNotFound):
            await started(channel, "no-such-command", name="a")
        assert (await channel.session(first)).name == "a", "what never ran takes no name"
        second = await started(channel, "true", name="a")
        assert [(each.id, each.name) for each in await channel.sessions()] == [(first, ""), (second, "a")]

    on_channel(port.path, use)


def test_64_sessions_run_and_one_more_is_refused(port: Port) -> None:
    async def use(channel: Channel) -> None:
        ids = [
            await started(channel, "sh", "-c", "cat", "x" * 300, "y" * 3000, name=f"{n:063}", stdin=True)
            for n in range(64)
        ]
        with pytest.raises(errors.GuestRefused, match="64 sessions run already"):
            await started(channel, "true")
        listed = await channel.sessions()
        assert [each.id for each in listed] == ids, "the longest records of all fit into one answer"
        assert sum(map(len, listed[0].argv)) <= 255
        assert sum(map(len, (await channel.session(ids[0])).argv)) in range(2000, 2049)
        for each in ids:
            await channel.session_kill(each, signal.SIGKILL)
        for each in ids:
            await ended(channel, each)

    on_channel(port.path, use)


def test_those_whose_end_was_told_make_room_first_and_then_the_oldest(port: Port) -> None:
    async def use(channel: Channel) -> None:
        ids = []
        for _ in range(64):
            ids.append(await started(channel, "true"))
            async with asyncio.timeout(PATIENCE):
                while any(each.running for each in await channel.sessions()):
                    await asyncio.sleep(0)
        assert await ended(channel, ids[5]) == CommandEnd(exit_code=0)
        for gone in (ids[5], ids[0], ids[1]):
            ids.append(await started(channel, "sleep", "1000"))
            assert gone not in [each.id for each in await channel.sessions()]
        assert len(await channel.sessions()) == 64

    on_channel(port.path, use)


# -- stdin ------------------------------------------------------------------------------------------------------------


def test_what_is_sent_arrives_whole_whatever_it_is(port: Port) -> None:
    data = random.Random(3).randbytes(3_000_000) + b"\0\x04\x03\xff"

    async def use(channel: Channel) -> None:
        id = await started(channel, "sh", "-c", "sha256sum; cat >&2", stdin=True)
        assert (await channel.session(id)).stdin
        half = len(data) // 2
        assert await sent(channel, id, data[:half]) == half
        assert await sent(channel, id, b"", data[half:], eof=True) == len(data) - half
        digest = (await ran(channel, "sha256sum", stdin=data)).stdout
        assert await whole(channel, id) == digest
        echo = await started(channel, "cat", stdin=True)
        await sent(channel, echo, b"a\0b\xff\n", eof=True)
        assert await whole(channel, echo) == b"a\0b\xff\n"

    on_channel(port.path, use)
    assert port.memory() < MEMORY_BOUND


def test_a_command_that_never_reads_is_told_of_and_holds_up_nobody(port: Port) -> None:
    async def use(channel: Channel) -> None:
        id = await started(channel, "sleep", "1000", stdin=True)
        assert await sent(channel, id, b"x" * 1000) == 1000, "the pipe has room"
        with pytest.raises(errors.StdinStuck) as stuck:
            await sent(channel, id, *[bytes(100_000)] * 20, patience=0.5)
        assert 0 < int(str(stuck.value.data["taken"])) <= 1 << 16
        with pytest.raises(errors.StdinStuck) as stuck:
            await sent(channel, id, b"more", patience=0.2)
        assert stuck.value.data["taken"] == 0
        assert (await ran(channel, "echo", "on")).stdout == b"on\n"
        await channel.session_kill(id, signal.SIGKILL)

    on_channel(port.path, use)
    assert port.memory() < MEMORY_BOUND


def test_a_command_that_stops_reading_is_told_of(port: Port) -> None:
    async def use(channel: Channel) -> None:
        without = await started(channel, "sleep", "1000")
        with pytest.raises(errors.StdinClosed):
            await sent(channel, without, b"x")
        closes = await started(channel, "sh", "-c", "head -c 4; exec <&-; echo closed; sleep 1000", stdin=True)
        attachment = await channel.session_attach(closes, Attaching())
        with pytest.raises((errors.StdinClosed, errors.StdinStuck)):
            await sent(channel, closes, *[bytes(100_000)] * 10)
        output = attachment.output()
        while not (await anext(output))[1].endswith(b"closed\n"):
            pass
        with pytest.raises(errors.StdinClosed):
            await sent(channel, closes, b"x")
        assert not (await channel.session(closes)).stdin
        again = await started(channel, "sleep", "1000", stdin=True)
        await sent(channel, again, eof=True)
        with pytest.raises(errors.StdinClosed):
            await sent(channel, again, b"x")

    on_channel(port.path, use)


def test_two_that_send_at_once_take_turns(port: Port) -> None:
    async def use(channel: Channel) -> None:
        id = await started(channel, "cat", stdin=True)
        words = [bytes((each,)) * 300_000 for each in b"abcd"]
        reading = asyncio.create_task(whole(channel, id))
        assert await asyncio.gather(*(sent(channel, id, word) for word in words)) == [300_000] * 4
        await sent(channel, id, eof=True)
        log = await reading
        assert all(word in log for word in words)
        assert len(log) == 1_200_000

    on_channel(port.path, use)


def test_stdin_is_that_of_one_attachment(port: Port) -> None:
    async def use(channel: Channel) -> None:
        id = await started(channel, "cat", stdin=True)
        first = await channel.session_attach(id, Attaching(feed=True))
        for attempt in (channel.session_attach(id, Attaching(feed=True)), sent(channel, id, b"x")):
            with pytest.raises(errors.StdinTaken):
                await attempt
        onlooker = await channel.session_attach(id, Attaching())
        await first.write(b"typed\n")
        assert await anext(onlooker.output()) == (1, b"typed\n")
        assert await anext(first.output()) == (1, b"typed\n")
        await first.close_stdin()
        await first.kill()
        assert await sent(channel, id, b"then\n", eof=True) == 5, "neither its end nor its leaving closes stdin"
        assert await ended(channel, id) == CommandEnd(exit_code=0)
        assert await whole(channel, id) == b"typed\nthen\n"

    on_channel(port.path, use)


def test_a_client_that_is_gone_lets_go_of_stdin(port: Port) -> None:
    ids: list[str] = []

    async def begin(channel: Channel) -> None:
        ids.append(await started(channel, "cat", stdin=True))
        await channel.session_attach(ids[0], Attaching(feed=True))

    async def finish(channel: Channel) -> None:
        assert await sent(channel, ids[0], b"later", eof=True) == 5
        assert await whole(channel, ids[0]) == b"later"

    on_channel(port.path, begin)
    on_channel(port.path, finish)


# -- terminals --------------------------------------------------------------------------------------------------------


def test_a_terminal_is_left_and_found_again_as_it_was(port: Port) -> None:
    ids: list[str] = []

    async def begin(channel: Channel) -> None:
        ids.append(await started(channel, "bash", "--norc", "-i", tty=(24, 80)))
        attachment = await channel.session_attach(ids[0], Attaching(feed=True, size=(40, 100)))
        await attachment.write(b"PS1=; A=kept; stty size; echo up''now\r")
        assert b"40 100\r\n" in await until_said(attachment, b"upnow\r\n")

    async def again(channel: Channel) -> None:
        attachment = await channel.session_attach(ids[0], Attaching(feed=True, size=(50, 120), tail=5))
        await attachment.write(b"echo $A; stty size; sleep 1000\r")
        log = await until_said(attachment, b"50 120\r\n")
        assert b"upnow\r\n" in log, "what it said last is shown"
        assert b"kept\r\n" in log
        await asyncio.sleep(0.2)
        await attachment.write(b"\x03")
        await attachment.write(b"echo sta''tus $?\r")
        await until_said(attachment, b"status 130\r\n")
        await attachment.resize(30, 90)
        await attachment.write(b"stty size; exit 7\r")
        await until_said(attachment, b"30 90\r\n")
        assert (await attachment.finished())[0] == CommandEnd(exit_code=7)

    on_channel(port.path, begin)
    on_channel(port.path, again)


def test_keys_are_bytes_that_can_be_sent(port: Port) -> None:
    async def use(channel: Channel) -> None:
        id = await started(channel, "cat", tty=(24, 80))  # a shell may lose a signal between two commands
        attachment = await channel.session_attach(id, Attaching())
        assert await sent(channel, id, b"up\n") == 3
        said = b""
        while not said.endswith(b"up\r\nup\r\n"):  # the terminal's echo, and its own
            said += (await anext(attachment.output()))[1]
        assert await sent(channel, id, b"\x03") == 1
        assert (await attachment.finished())[0] == CommandEnd(signal=signal.SIGINT)
        reader = await started(channel, "cat", tty=(24, 80))
        await sent(channel, reader, b"line\n", eof=True)
        assert await ended(channel, reader) == CommandEnd(exit_code=0), "its end of file is a key"

    on_channel(port.path, use)


def test_sessions_cost_no_more_than_their_logs(port: Port) -> None:
    """A descriptor that is forgotten is missed soon, and so is a log."""
    port.limit_descriptors(40)

    async def use(channel: Channel) -> None:
        for number in range(150):
            options = {"tty": (24, 80)} if number % 3 == 0 else {"stdin": True}
            id = await started(channel, "head", "-c", "100000", "/dev/zero", **options)
            assert await ended(channel, id) == CommandEnd(exit_code=0)
        assert await _settled(channel) == []

    on_channel(port.path, use)
    assert port.memory() < MEMORY_BOUND


async def _settled(channel: Channel) -> list[Session]:
    limit = time.monotonic() + PATIENCE
    while (running := [each for each in await channel.sessions() if each.running]) and time.monotonic() < limit:
        await asyncio.sleep(0.02)
    return running
