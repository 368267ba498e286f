"""The exec stream over a real WebSocket: both directions at the other end's pace, and clients that go away."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import unix_connect as unix_connect_async
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, unix_connect

from tests.integration.daemon.conftest import PATIENCE, Daemon


@pytest.fixture
def machine(daemon: Daemon) -> Daemon:
    daemon.make()
    return daemon


def event(stream: ClientConnection) -> dict[str, Any]:
    """The next message, which must be an event."""
    message = stream.recv(PATIENCE)
    assert isinstance(message, str), message[:40]
    found = json.loads(message)
    assert isinstance(found, dict)
    return {key: value for key, value in found.items() if value is not None and value is not False}


def test_a_command_starts_and_ends_with_its_own_status(machine: Daemon) -> None:
    with machine.exec("exit", "42") as stream:
        assert event(stream) == {"kind": "started"}
        assert event(stream) == {"kind": "ended", "exit_code": 42}
        with pytest.raises(ConnectionClosed) as closed:
            stream.recv(PATIENCE)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1000


def test_stdin_resizes_and_output_pass_in_order(machine: Daemon) -> None:
    with machine.exec("cat", stdin=True, tty=True) as stream:
        assert event(stream) == {"kind": "started"}
        stream.send(b"\x00\xff binary")
        assert stream.recv(PATIENCE) == b"\x01\x00\xff binary"
        stream.send(json.dumps({"kind": "resize", "rows": 50, "cols": 132}))
        assert stream.recv(PATIENCE) == b"\x0150x132"
        stream.send(b"last")
        stream.send(json.dumps({"kind": "eof"}))
        assert stream.recv(PATIENCE) == b"\x01last"
        assert event(stream) == {"kind": "ended", "exit_code": 0}


def test_both_directions_flow_at_once(machine: Daemon) -> None:
    piece, count = bytes(1 << 16), 256

    async def scenario() -> int:
        address = "ws://banger/v1/vms/m/exec"
        async with unix_connect_async(machine.paths.socket, address, compression=None) as stream:
            await stream.send(json.dumps({"argv": ["cat"], "stdin": True}))

            async def feed() -> None:
                for _ in range(count):
                    await stream.send(piece)
                await stream.send(json.dumps({"kind": "eof"}))

            feeding = asyncio.create_task(feed())
            received = 0
            async for message in stream:
                received += len(message) - 1 if isinstance(message, bytes) else 0
            await feeding
            return received

    assert asyncio.run(asyncio.wait_for(scenario(), PATIENCE)) == count * len(piece)


def test_a_signal_passes_stdin_that_is_stuck(machine: Daemon) -> None:
    with machine.exec("stuck", stdin=True) as stream:
        assert event(stream) == {"kind": "started"}
        stream.send(b"nobody reads this")
        stream.send(json.dumps({"kind": "signal", "number": 15}))
        assert event(stream) == {"kind": "ended", "signal": 15}


def test_output_waits_for_its_client(machine: Daemon) -> None:
    with machine.exec("count", "2048") as stream:
        assert event(stream) == {"kind": "started"}
        machine.wait_for(lambda: "frame 0" in machine.notes())
        assert "frame 1024" not in machine.notes()  # 64 MiB would not be in flight
        size = 0
        while isinstance(message := stream.recv(PATIENCE), bytes):
            size += len(message) - 1
    assert size == 2048 * 65536
    assert json.loads(message)["exit_code"] == 0


def test_a_client_that_is_gone_ends_its_command(machine: Daemon) -> None:
    with machine.exec("stuck") as stream:
        assert event(stream) == {"kind": "started"}
    machine.wait_for(lambda: "killed" in machine.notes())


def test_a_client_that_is_gone_with_its_stdin_stuck_ends_its_command(machine: Daemon) -> None:
    with machine.exec("stuck", stdin=True) as stream:
        assert event(stream) == {"kind": "started"}
        for _ in range(12):
            stream.send(bytes(1 << 14))
        stream.socket.shutdown(socket.SHUT_RDWR)
        machine.wait_for(lambda: "killed" in machine.notes())


def test_stdin_that_is_not_taken_stays_with_the_client(machine: Daemon) -> None:
    with machine.exec("stuck", stdin=True) as stream:
        assert event(stream) == {"kind": "started"}
        stream.socket.settimeout(0.5)
        with pytest.raises(ConnectionClosed):  # the client's own time limit: its socket took a little and then no more
            for _ in range(256):
                stream.send(bytes(1 << 18))
    machine.wait_for(lambda: "killed" in machine.notes())
    assert machine.process is not None
    peak = next(x for x in Path(f"/proc/{machine.process.pid}/status").read_text().splitlines() if "VmHWM" in x)
    assert int(peak.split()[1]) < 80 << 10


def test_failures_are_events(machine: Daemon) -> None:
    with machine.exec("missing") as stream:
        failed = event(stream)
    assert (failed["kind"], failed["error"]["code"]) == ("failed", "command_not_found")
    with machine.exec("cat", machine="none") as stream:
        assert event(stream)["error"]["code"] == "not_found"
    with machine.exec("lost") as stream:
        assert event(stream) == {"kind": "started"}
        assert stream.recv(PATIENCE) == b"\x01so far"
        assert event(stream)["error"]["code"] == "agent_lost"


def test_a_first_message_that_makes_no_sense_is_refused(machine: Daemon) -> None:
    for first in ("", "{", "[]", '{"argv": 5}', '{"argv": [], "colour": 1}', b"\x00\x01"):
        with unix_connect(machine.paths.socket, "ws://banger/v1/vms/m/exec", compression=None) as stream:
            stream.send(first)
            assert event(stream)["error"]["code"] == "usage"
    assert "Traceback" not in machine.log.read_text()


def test_a_later_message_that_makes_no_sense_ends_the_command(machine: Daemon) -> None:
    with machine.exec("stuck") as stream:
        assert event(stream) == {"kind": "started"}
        stream.send('{"kind": "dance"}')
        assert event(stream)["error"]["code"] == "usage"
    machine.wait_for(lambda: "killed" in machine.notes())


def test_a_message_that_is_too_large_closes_the_stream(machine: Daemon) -> None:
    with machine.exec("cat", stdin=True) as stream:
        assert event(stream) == {"kind": "started"}
        with pytest.raises(ConnectionClosed) as closed:
            stream.send(bytes(3 << 20))
            while True:
                stream.recv(PATIENCE)
    assert closed.value.rcvd is None or closed.value.rcvd.code == 1009
    machine.wait_for(lambda: "killed" in machine.notes())
    assert machine.answers()
