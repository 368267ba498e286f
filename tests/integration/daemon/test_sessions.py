"""What clients hear when the daemon under their sessions ends: an error with a type, and the machine where it was."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread

import pytest

from banger import errors
from banger.api.vm import ExecVm
from banger.sdk.client import Client
from tests import leaks
from tests.fakes import prepare, request
from tests.home import Home, make_home, passable

WAIT = 60.0


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Home]:
    """An installation with a machine that runs."""
    with passable(tmp_path) as directory, make_home(directory) as home:
        prepare(home)
        with Client(home.paths.socket) as client:
            client.wait(client.vm_create(request("one")))
        try:
            yield home
        finally:
            home.banger("vm", "delete", "one", check=True)


def daemon_pid(home: Home) -> int:
    return int(json.loads(home.banger("daemon", "status", "--json", check=True).stdout)["pid"])


def exec_(client: Client) -> Iterator[object]:
    with client.vm_exec("one", ExecVm(argv=["/bin/sh", "-c", "echo up; exec sleep 600"])) as command:
        yield from command


def hold(client: Client) -> Iterator[object]:
    reply = client.vm_hold("one")
    yield reply.status
    yield from reply.chunks()


def forward(client: Client) -> Iterator[object]:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    return client.vm_forward("one", f"{port}:9")


SESSIONS: dict[str, Callable[[Client], Iterator[object]]] = {
    "exec": exec_,
    "console": lambda client: client.vm_logs("one", follow=True),
    "hold": hold,
    "forward": forward,
}


class Session(Thread):
    """One client's session; what ended it."""

    def __init__(self, home: Home, name: str) -> None:
        super().__init__(name=name)
        self.home = home
        self.begun = False
        self.end: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            with Client(self.home.paths.socket, start=False, timeout=WAIT) as client:
                for _ in SESSIONS[self.name](client):
                    self.begun = True
        except BaseException as error:
            self.end = error


@contextmanager
def sessions(home: Home) -> Iterator[list[Session]]:
    """One of each kind, begun."""
    with ExitStack() as stack:
        found = [Session(home, name) for name in SESSIONS]
        for each in found:
            stack.callback(each.join, WAIT)
        limit = time.monotonic() + WAIT
        while not all(each.begun for each in found):
            assert time.monotonic() < limit and all(each.is_alive() for each in found), [each.end for each in found]
            time.sleep(0.02)
        yield found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["in-order", "killed"])
def test_sessions_end_with_a_type_when_their_daemon_does(serving: Home, number: int) -> None:
    with Client(serving.paths.socket) as client:
        before = client.vm_show("one")
    process = leaks.process_of(daemon_pid(serving))
    assert process is not None
    with sessions(serving) as begun:
        os.kill(process.pid, number)
        for each in begun:
            each.join(WAIT)
            assert isinstance(each.end, errors.BangerError), f"{each.name}: {each.end!r}"
    serving.banger("daemon", "start", check=True)
    with Client(serving.paths.socket) as client:
        assert client.vm_show("one") == before, "the machine did not notice"
        with client.vm_exec("one", ExecVm(argv=["/bin/echo", "again"])) as command:
            assert b"".join(data for _, data in command) == b"again\n"
