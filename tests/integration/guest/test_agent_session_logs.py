"""What sessions of the agent's real binary said: in order, bounded, for any number of readers."""

import asyncio
import random

import pytest

from banger.guest.channel import Channel
from banger.guest.command import CommandEnd
from banger.guest.session import STDERR, STDOUT, Attaching
from tests.integration.guest.rig import Port, on_channel
from tests.integration.guest.talk import ended, said, sent, started, whole

MEMORY_BOUND = 24 << 20
LOG = 1 << 20


def test_both_streams_come_in_their_order_and_apart(port: Port) -> None:
    async def use(channel: Channel) -> None:
        script = "for n in 1 2 3; do echo out $n; sleep 0.1; echo err $n >&2; sleep 0.1; done"
        id = await started(channel, "sh", "-c", script)
        expected = [(stream, f"{word} {n}\n".encode()) for n in (1, 2, 3) for stream, word in ((1, "out"), (2, "err"))]
        assert await said(channel, id) == expected
        assert await said(channel, id, follow=False) == expected
        assert await whole(channel, id, streams=STDOUT) == b"out 1\nout 2\nout 3\n"
        assert await whole(channel, id, streams=STDERR) == b"err 1\nerr 2\nerr 3\n"
        assert await whole(channel, id, tail=3) == b"err 2\nout 3\nerr 3\n"
        assert await whole(channel, id, tail=1, streams=STDOUT) == b"out 3\n"
        assert await whole(channel, id, tail=0) == b""
        assert await whole(channel, id, tail=1 << 60) == b"".join(data for _, data in expected)

    on_channel(port.path, use)


def test_a_last_line_without_its_end_is_a_line(port: Port) -> None:
    async def use(channel: Channel) -> None:
        id = await started(channel, "printf", "one\\ntwo\\nthr")
        await ended(channel, id)
        assert await whole(channel, id, tail=1) == b"thr"
        assert await whole(channel, id, tail=2) == b"two\nthr"

    on_channel(port.path, use)


def test_a_flood_ends_in_a_bounded_log_that_tells_what_is_missing(port: Port) -> None:
    many = 100_000_000

    async def use(channel: Channel) -> None:
        id = await started(channel, "sh", "-c", f"head -c {many} /dev/zero; echo the end >&2")
        assert await ended(channel, id) == CommandEnd(exit_code=0)
        told = await channel.session(id)
        assert (told.stdout_bytes, told.stderr_bytes) == (many, 8)
        attachment = await channel.session_attach(id, Attaching())
        log = b"".join([data async for _, data in attachment.output()])
        assert LOG * 0.98 < len(log) <= LOG
        assert b"the end\n" in log[-(1 << 17) :], "but for what was still in the other pipe"
        assert (await attachment.finished())[1] == told.dropped_bytes == many + 8 - len(log)

    on_channel(port.path, use)
    assert port.memory() < MEMORY_BOUND


def test_single_bytes_of_both_streams_wrap_in_order(port: Port) -> None:
    """The worst for the ring: each byte is a record of its own."""

    async def use(channel: Channel) -> None:
        script = "import os\nfor n in range(300000): os.write(1 + n % 2, bytes([48 + n % 10]))"
        id = await started(channel, "python3", "-S", "-c", script)
        await ended(channel, id)
        for streams, even in ((STDOUT, b"02468"), (STDERR, b"13579")):
            log = await whole(channel, id, streams=streams)
            assert len(log) > 50_000
            assert log == (even * (len(log) // 5 + 2))[(even.index(log[:1])) :][: len(log)]

    on_channel(port.path, use)


def test_readers_at_their_own_pace_hold_up_nobody(port: Port) -> None:
    async def use(channel: Channel) -> None:
        id = await started(channel, "sh", "-c", "read go; head -c 50000000 /dev/zero; echo done", stdin=True)
        slow = await channel.session_attach(id, Attaching())
        quick = [asyncio.create_task(whole(channel, id)) for _ in range(3)]
        await sent(channel, id, b"\n")
        async with asyncio.timeout(60):
            logs = await asyncio.gather(*quick)
        assert all(log.endswith(b"done\n") for log in logs)
        late = b"".join([data async for _, data in slow.output()])
        assert late.endswith(b"done\n")
        assert len(late) + (await slow.finished())[1] == 50_000_005

    on_channel(port.path, use)
    assert port.memory() < MEMORY_BOUND


def test_descendants_that_keep_the_pipes_and_flood_them_keep_no_reader(port: Port) -> None:
    async def use(channel: Channel) -> None:
        id = await started(channel, "sh", "-c", "setsid timeout 8 yes & echo first; exit 3")
        assert await ended(channel, id) == CommandEnd(exit_code=3)
        assert await whole(channel, id)
        assert await whole(channel, id, follow=False)

    on_channel(port.path, use, timeout=7)


CHATTER = """
import os, random
chance, counts = random.Random({seed}), [0, 0]
for _ in range({writes}):
    stream = chance.randrange(2)
    size = chance.choice((1, 7, 80, 4000, 30000))
    line = b"".join(b"%07d\\n" % (counts[stream] + n) for n in range((size + 7) // 8))
    counts[stream] += len(line) // 8
    data = memoryview(line)
    while data:
        data = data[os.write(stream + 1, data):]
"""
"""Says numbered lines of eight bytes, as many as chance will, on both streams."""


@pytest.mark.parametrize("seed", range(4))
def test_what_is_kept_is_the_end_of_what_was_said(port: Port, seed: int) -> None:
    """Against a model: each stream's log is a run of its lines up to the last, and tails are ends of the whole."""
    chance = random.Random(seed)

    async def use(channel: Channel) -> None:
        id = await started(channel, "python3", "-S", "-c", CHATTER.format(seed=seed, writes=chance.choice((50, 2000))))
        assert await ended(channel, id) == CommandEnd(exit_code=0)
        told = await channel.session(id)
        for streams, written in ((STDOUT, told.stdout_bytes), (STDERR, told.stderr_bytes)):
            log = await whole(channel, id, streams=streams)
            lines = range((written - len(log) + 7) // 8, written // 8)
            assert log.endswith(b"".join(b"%07d\n" % line for line in lines))
            assert len(log) - 8 * len(lines) < 8
        log = await whole(channel, id)
        assert len(log) == told.stdout_bytes + told.stderr_bytes - told.dropped_bytes
        assert len(log) <= LOG
        for tail in (1, 2, chance.randrange(3, 5000)):
            assert await whole(channel, id, tail=tail) == b"".join(log.splitlines(keepends=True)[-tail:])

    on_channel(port.path, use)
