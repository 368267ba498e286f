"""One exec stream for one command after another: what stays, what does not, and what the next command must not see."""

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, unix_connect

from banger import errors
from banger.api.vm import ExecVm
from banger.sdk import websocket
from banger.sdk.client import Client
from banger.sdk.sandbox import Sandbox
from tests.fakes import prepare, request
from tests.home import make_home, passable
from tests.integration.daemon.conftest import PATIENCE, Daemon


@pytest.fixture
def machine(daemon: Daemon) -> Daemon:
    daemon.make()
    return daemon


class Counted(Client):
    """A client that counts its connections."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.made = 0
        connect = self.transport.connect

        def counting() -> socket.socket:
            self.made += 1
            return connect()  # type: ignore[return-value]  # the part of it in C

        self.transport.connect = counting  # type: ignore[method-assign]


@pytest.fixture
def client(machine: Daemon) -> Iterator[Counted]:
    with Counted(machine.paths.socket) as client:
        yield client


def run(client: Client, *argv: str, machine: str = "m") -> int | None:
    return Sandbox.existing(machine, client=client).exec(argv).exit_code


def ask(stream: ClientConnection, *argv: str) -> dict[str, object]:
    """The last event of a command without output."""
    stream.send(json.dumps({"argv": argv}))
    event: dict[str, object] = json.loads(stream.recv(PATIENCE))
    if event["kind"] == "started":
        event = json.loads(stream.recv(PATIENCE))
    return event


def opened(daemon: Daemon) -> ClientConnection:
    return unix_connect(daemon.paths.socket, "ws://banger/v1/vms/m/exec?persistent=true", compression=None)


def test_one_stream_serves_one_command_after_another(client: Counted) -> None:
    assert [run(client, "exit", str(code)) for code in range(5)] == [0, 1, 2, 3, 4]
    assert client.made == 1


def test_output_belongs_to_its_command(client: Counted) -> None:
    box = Sandbox.existing("m", client=client)
    assert [len(box.exec(["count", str(count)]).stdout) >> 16 for count in (2, 8, 0)] == [1, 4, 0]
    assert client.made == 1


def test_two_commands_at_once_have_a_stream_each(client: Counted) -> None:
    request = ExecVm(argv=["exit", "1"])
    with client.vm_exec("m", request) as one, client.vm_exec("m", request) as other:
        one.wait()
        other.wait()
    assert (one.exit_code, other.exit_code, client.made) == (1, 1, 2)
    assert run(client, "exit", "3") == 3
    assert client.made == 2


def test_another_machines_commands_have_another_stream(machine: Daemon, client: Counted) -> None:
    machine.make("n")
    assert [run(client, "exit", "1", machine=name) for name in ("m", "n", "n")] == [1, 1, 1]
    assert client.made == 2


def test_a_command_that_failed_leaves_no_stream(client: Counted) -> None:
    assert run(client, "exit", "1") == 1
    with pytest.raises(errors.CommandNotFound):
        run(client, "missing")
    with pytest.raises(errors.AgentLost):
        run(client, "lost")
    assert run(client, "exit", "2") == 2


def test_a_command_that_was_fed_or_signalled_leaves_no_stream(client: Counted) -> None:
    assert Sandbox.existing("m", client=client).exec(["cat"], input=b"fed").stdout == b"fed"
    with client.vm_exec("m", ExecVm(argv=["stuck"])) as stuck:
        stuck.send_signal(signal.SIGTERM)
        stuck.wait()
    assert stuck.signal == signal.SIGTERM
    assert run(client, "exit", "3") == 3
    assert client.made == 3


def test_a_command_that_is_over_says_nothing_to_the_next(client: Counted) -> None:
    with client.vm_exec("m", ExecVm(argv=["exit", "1"])) as first:
        first.wait()
    with client.vm_exec("m", ExecVm(argv=["count", "2"])) as second:
        first.kill()
        first.write(b"late")
        first.hang_up()
        first.close()
        assert sum(len(data) for _, data in second) == 2 << 16
    assert (second.exit_code, client.made) == (0, 1)


def test_a_command_left_early_is_ended_with_its_stream(machine: Daemon, client: Counted) -> None:
    assert run(client, "exit", "1") == 1
    with client.vm_exec("m", ExecVm(argv=["stuck"])):
        pass
    machine.wait_for(lambda: "killed" in machine.notes())
    assert (run(client, "exit", "2"), client.made) == (2, 2)


def test_a_daemon_that_was_started_again_is_asked_by_another_stream(machine: Daemon, client: Counted) -> None:
    assert run(client, "exit", "1") == 1
    for how in (signal.SIGTERM, signal.SIGKILL):
        machine.end(how)
        machine.start()
        assert run(client, "exit", "2") == 2
    assert client.made == 3


def test_an_idle_stream_does_not_hold_up_the_daemons_end(machine: Daemon, client: Counted) -> None:
    assert run(client, "exit", "1") == 1
    assert machine.end(signal.SIGTERM) == 0


def test_a_stream_that_was_idle_for_long_is_not_taken_up(client: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(client, "exit", "1") == 1
    monkeypatch.setattr(websocket, "IDLE_SECONDS", 0.0)
    assert (run(client, "exit", "2"), client.made) == (2, 2)


def test_what_follows_must_be_a_command(machine: Daemon) -> None:
    for next_ in ('{"kind": "kill"}', b"stdin", "{"):
        with opened(machine) as stream:
            assert ask(stream, "exit", "1")["exit_code"] == 1
            stream.send(next_)
            assert json.loads(stream.recv(PATIENCE))["error"]["code"] == "usage"
            with pytest.raises(ConnectionClosed):
                stream.recv(PATIENCE)


def test_who_goes_away_ends_only_the_command_that_runs(machine: Daemon) -> None:
    with opened(machine) as stream:
        assert ask(stream, "exit", "1")["exit_code"] == 1
    assert machine.answers()
    with opened(machine) as stream:
        assert ask(stream, "exit", "1")["exit_code"] == 1
        stream.send(json.dumps({"argv": ["stuck"]}))
        assert json.loads(stream.recv(PATIENCE))["kind"] == "started"
        assert "killed" not in machine.notes()
    machine.wait_for(lambda: "killed" in machine.notes())


def test_each_command_finds_its_machine_anew(tmp_path: Path) -> None:
    """The machine is started again with another record, and then another one takes its name."""
    with passable(tmp_path) as directory, make_home(directory) as home:
        prepare(home)
        with Client(home.paths.socket) as client:
            box = Sandbox.existing("one", client=client)

            def said() -> str:
                return box.exec(["/bin/sh", "-c", "echo $FROM"], check=True).text.strip()

            def make(env: dict[str, str]) -> None:
                made = request("one")
                made.env.update(env)
                client.wait(client.vm_create(made))

            make({"FROM": "first"})
            assert (said(), said()) == ("first", "first")
            kept = client.transport._stream
            client.wait(client.vm_restart("one"))
            assert said() == "first"
            client.wait(client.vm_delete("one"))
            make({"FROM": "second"})
            assert said() == "second"
            assert kept is not None
            assert client.transport._stream is kept
            client.wait(client.vm_stop("one"))
            with pytest.raises(errors.WrongState):
                said()
            client.wait(client.vm_delete("one"))
