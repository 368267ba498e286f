"""The server with real processes: side by side, in turns, cut short, flooded."""

import asyncio
import json
import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from banger import errors
from banger.helper import protocol
from banger.helper.operation import Operation, Outcome
from banger.privileged.client import Helper
from tests.helper_operations import Echo, Exchange, Mark
from tests.helper_server import Running, server, wait_for


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bh-", dir="/tmp") as made:  # a socket's path is short
        yield Path(made)


@pytest.fixture
def running(directory: Path) -> Iterator[Running]:
    with server(directory) as made:
        yield made


def client(running: Running) -> Helper:
    return Helper(running.host.socket, running.host)


def perform(running: Running, operation: Operation, **how: Any) -> Outcome:
    return asyncio.run(client(running).perform(operation, **how))


def begun(running: Running, name: str) -> int:
    """The pid of the process that performs a Mark, once it does."""
    path = Path(running.host.state, f"{name}.begun")
    wait_for(lambda: path.exists() and path.read_text())
    return int(path.read_text())


def marks(running: Running) -> dict[str, str]:
    return {each.name: each.read_text() for each in Path(running.host.state).iterdir() if each.suffix != ".begun"}


async def in_thread(check: Any, *arguments: Any) -> Any:
    return await asyncio.to_thread(check, *arguments)


def test_requests_descriptors_and_the_log(running: Running, directory: Path) -> None:
    assert perform(running, Echo(text="x", number=3), change="0abc").values["number"] == 3
    (directory / "file").write_text("first\nrest")
    file = os.open(directory / "file", os.O_RDONLY)
    outcome = perform(running, Exchange(), descriptors=[file])
    os.close(file)
    assert os.read(outcome.descriptors[0], 10) == b"rest"
    os.close(outcome.descriptors[0])
    with pytest.raises(errors.PrivilegeRefused):
        perform(running, Echo(text="refuse me"))
    with pytest.raises(errors.PrivilegeFailed, match="ZeroDivisionError"):
        perform(running, Echo(text="crash"))
    assert perform(running, Echo(text="after it")).values["text"] == "after it"
    assert running.end() == 0
    assert [(line.get("operation"), line["outcome"]) for line in running.lines() if "operation" in line] == [
        ("test.echo", "done"),
        ("test.exchange", "done"),
        ("test.echo", "refused"),
        ("test.echo", "crashed"),
        ("test.echo", "done"),
    ]
    assert running.lines()[1]["uid"] == os.getuid()


def test_one_that_hangs_stops_nobody(running: Running) -> None:
    async def scene() -> None:
        hanging = asyncio.create_task(client(running).perform(Mark(name="slow", seconds=3600)))
        pid = await in_thread(begun, running, "slow")
        assert (await client(running).perform(Echo(text="quick"))).values["text"] == "quick"
        await client(running).perform(Mark(name="other"))
        assert not hanging.done()
        hanging.cancel()
        os.kill(pid, signal.SIGKILL)

    asyncio.run(scene())


def test_two_of_one_resource_take_turns(running: Running) -> None:
    """The second neither judges nor touches what the first has half made."""

    async def scene() -> None:
        first = asyncio.create_task(client(running).perform(Mark(name="disk", seconds=1)))
        await in_thread(begun, running, "disk")
        await client(running).perform(Mark(name="disk", wary=True))
        assert marks(running) == {"disk": ".."}
        await first

    asyncio.run(scene())


def test_what_is_taken_back_was_finished_first(running: Running) -> None:
    """A daemon that was killed undoes, and the helper is still at it."""

    async def scene() -> None:
        doing = asyncio.create_task(client(running).perform(Mark(name="disk", seconds=1)))
        await in_thread(begun, running, "disk")
        doing.cancel()
        await client(running).revert(Mark(name="disk"))

    asyncio.run(scene())
    assert os.listdir(running.host.state) == []
    assert running.end() == 0
    assert [line["undo"] for line in running.lines() if line.get("outcome") == "done"] == [False, True]


def test_the_helper_is_killed_in_the_middle(running: Running) -> None:
    """What it was doing goes on without it, and a new helper's undo waits for that."""

    async def scene() -> None:
        doing = asyncio.create_task(client(running).perform(Mark(name="disk", seconds=1)))
        await in_thread(begun, running, "disk")
        running.end(signal.SIGKILL)
        running.start()
        await client(running).revert(Mark(name="disk"))
        await doing

    asyncio.run(scene())
    assert os.listdir(running.host.state) == []


def test_a_request_that_is_killed_is_asked_again(running: Running) -> None:
    async def scene() -> None:
        doing = asyncio.create_task(client(running).perform(Mark(name="disk", seconds=1)))
        os.kill(await in_thread(begun, running, "disk"), signal.SIGKILL)
        await doing

    asyncio.run(scene())
    assert marks(running) == {"disk": "."}
    assert running.end() == 0
    assert [line["reason"].split()[0] for line in running.lines() if line["outcome"] == "killed"] == ["SIGKILL"]


def test_a_stop_waits_for_what_is_being_done(running: Running) -> None:
    async def scene() -> None:
        doing = asyncio.create_task(client(running).perform(Mark(name="disk", seconds=1)))
        await in_thread(begun, running, "disk")
        assert await in_thread(running.end) == 0
        assert doing.done() or marks(running) == {"disk": "."}
        await doing

    asyncio.run(scene())


def test_only_so_many_at_a_time(directory: Path) -> None:
    """Whoever comes while all are at work waits, and is served after."""

    async def scene(running: Running) -> None:
        names = [f"mark{number}" for number in range(3)]
        doing = [asyncio.create_task(client(running).perform(Mark(name=name, seconds=3600))) for name in names[:2]]
        pids = [await in_thread(begun, running, name) for name in names[:2]]
        waiting = asyncio.create_task(client(running).perform(Mark(name="last")))
        await asyncio.sleep(0.2)
        assert marks(running) == {}
        for each in doing:
            each.cancel()
        os.kill(pids[0], signal.SIGKILL)
        await waiting
        assert marks(running) == {"last": "."}
        os.kill(pids[1], signal.SIGKILL)

    with server(directory, children=2) as running:
        asyncio.run(scene(running))


def test_one_that_takes_too_long_is_killed(directory: Path) -> None:
    """And asked once more, since nothing was heard of it; then it is told."""
    with server(directory, lifetime=0.2) as running:
        with pytest.raises(errors.HelperUnavailable, match="hung up"):
            perform(running, Mark(name="slow", seconds=3600))
        assert running.end() == 0
        assert [line["outcome"] for line in running.lines() if "child" in line] == ["killed", "killed"]


def resident(pid: int) -> int:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


def test_noise_changes_nothing(running: Running) -> None:
    """Frames of every wrong kind, and the server is as it was: same process, same memory, same descriptors."""
    null = os.open("/dev/null", os.O_RDONLY)
    wrong: list[tuple[bytes, list[int]]] = [
        (b"", []),
        (b"\0", []),
        (b"\xff\xff\xff\xff", []),
        (b"\0\x80\0\0" + bytes(1 << 23), []),
        (b"\0\0\0\2{}", [null] * 9),
        (b"\0\0\0\2{}", [null] * 8),
        (b"\0\0\0\x0a{", [null]),
        (protocol.frame({"operation": "test.echo", "arguments": {"text": ["["] * 9000}}), []),
        (protocol.HEADER.pack(200_000) + b"[" * 200_000, []),
        (protocol.frame({"operation": "x" * 1_000_000}), []),
    ]

    def noise() -> None:
        for data, descriptors in wrong:
            body = running.exchange(data, descriptors)
            assert body is None or "refused" in json.loads(body)

    noise()
    before = resident(running.process.pid), len(os.listdir(f"/proc/{running.process.pid}/fd"))
    for _ in range(8):
        noise()
    perform(running, Echo(text="still there"))
    assert resident(running.process.pid) - before[0] < 1024
    wait_for(lambda: len(os.listdir(f"/proc/{running.process.pid}/fd")) <= before[1])
    os.close(null)


def test_those_who_say_nothing_are_shown_out(running: Running) -> None:
    """More silent connections than the server performs at a time; a real request is served all the same."""

    def connected() -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(running.host.socket)
        return connection

    silent = [connected() for _ in range(48)]
    assert perform(running, Echo(text="patient")).values["text"] == "patient"
    for each in silent:
        each.close()
    assert running.end() == 0
    assert {line["outcome"] for line in running.lines()} == {"lost", "done"}
