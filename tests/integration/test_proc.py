"""The door to other programs: children that talk without end are ended like all others."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import pytest

from banger import errors, proc

TALKATIVE = ["sh", "-c", "yes & yes >&2"]


def test_a_child_that_says_too_much_is_ended() -> None:
    with pytest.raises(errors.ToolFailed, match="more than 1048576 bytes"):
        asyncio.run(asyncio.wait_for(proc.run(TALKATIVE, limit=1 << 20), 60))


def test_a_talkative_child_is_ended_by_its_time_limit() -> None:
    with pytest.raises(errors.TimedOut):
        asyncio.run(asyncio.wait_for(proc.run(TALKATIVE, timeout=0.3), 60))


def test_a_talkative_child_is_ended_by_cancelling() -> None:
    async def cancelled() -> None:
        task = asyncio.create_task(proc.run(TALKATIVE, on_line=lambda line: time.sleep(0.0001)))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 60)

    asyncio.run(cancelled())


def test_what_comes_piece_by_piece_reaches_the_child_as_it_comes() -> None:
    said: list[str] = []

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one\n"
        while not said:  # noqa: ASYNC110 - the child answers when it has it
            await asyncio.sleep(0.01)
        yield b"two\n"

    done = asyncio.run(asyncio.wait_for(proc.run(["cat"], input=pieces(), on_output=said.append), 60))
    assert said == ["one", "two"] and done.stdout == b"one\ntwo\n"


def test_one_that_only_tells_something_is_asked_without_an_event_loop() -> None:
    assert proc.ask(["printenv", "LANG"], timeout=60) == "C.UTF-8\n"
    with pytest.raises(errors.ToolFailed, match=r"status 3.*why"):
        proc.ask(["sh", "-c", "echo why >&2; exit 3"], timeout=60)
    with pytest.raises(errors.TimedOut):
        proc.ask(["sleep", "600"], timeout=0.1)
    with pytest.raises(errors.ToolMissing):
        proc.ask(["no-such-program"], timeout=60)


@pytest.mark.parametrize("program", [["cat"], ["sleep", "600"], ["true"]])
def test_what_keeps_the_input_from_coming_ends_the_child_and_is_raised(program: list[str]) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"one\n"
        raise errors.TimedOut(what="the input", seconds=1)

    with pytest.raises(errors.TimedOut, match="the input"):
        asyncio.run(asyncio.wait_for(proc.run(program, input=broken()), 60))


LINGERING = """
import ctypes, threading, time, sys
def rest():
    while not sys.stdin.read(1):
        pass
    time.sleep(0.2)
threading.Thread(target=rest).start()
ctypes.CDLL(None).syscall(60, 0)  # exit(2) ends this thread alone
"""


def test_a_process_is_not_gone_while_one_of_its_threads_is_there() -> None:
    async def scenario() -> None:
        child = subprocess.Popen([sys.executable, "-c", LINGERING], stdin=subprocess.PIPE)  # noqa: ASYNC220
        assert child.stdin is not None
        try:
            identity = proc.Identity(child.pid, proc.start_ticks(child.pid) or 0)
            while proc.alive(identity):  # until its first thread is a zombie
                time.sleep(0.01)  # noqa: ASYNC251 - nothing else is to run
            assert not await proc.wait_gone(identity, 0.1)
            child.stdin.write(b"x")
            child.stdin.close()
            assert await proc.wait_gone(identity, 60)
        finally:
            child.kill()

    asyncio.run(scenario())


def test_who_has_a_mark_is_ended_with_those_of_its_session_that_have_lost_theirs() -> None:
    env = {"PATH": "/usr/bin:/bin", "MARK": "test-proc-mark"}
    script = "env -u MARK sleep 600 & echo $!; exec sleep 600"
    with (
        subprocess.Popen(["sleep", "600"], env={"PATH": env["PATH"]}, start_new_session=True) as other,
        subprocess.Popen(["sh", "-c", script], env=env, start_new_session=True, stdout=subprocess.PIPE) as marked,
    ):
        assert marked.stdout is not None
        unmarked = int(marked.stdout.readline())
        proc.end_marked("MARK", env["MARK"])
        assert marked.wait(60) == -9 and proc.start_ticks(unmarked) is None
        assert other.poll() is None, "another session is none of its business"
        other.kill()
