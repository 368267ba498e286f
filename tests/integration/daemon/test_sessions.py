"""What clients hear when the daemon under them ends: an error with a type, and the machine where it was."""

import json
import os
import signal
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread

import pytest

from banger import errors
from banger.api.vm import ExecVm
from banger.sdk.client import Client
from banger.sdk.sessions import Session
from tests import leaks
from tests.fakes import prepare, request
from tests.home import Home, make_home, passable

WAIT = 60.0
LARGE, PIECE = 1 << 30, 1 << 16
"""What copies have to carry, and how much of it at a time: they never come to an end by themselves."""


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Home]:
    """An installation with a machine that runs, whose daemon takes its time to make another."""
    with passable(tmp_path) as directory, make_home(directory) as home:
        prepare(home)
        with Client(home.paths.socket) as client:
            client.wait(client.vm_create(request("one")))
        home.banger("daemon", "stop", check=True)
        home.env["BANGER_FAKE_DELAY"] = f"{2 * WAIT}"
        for name in ("from", "to"):
            place(home, name).mkdir()
            place(home, name).chmod(0o777)
        with open(place(home, "from") / "large", "wb") as file:
            file.truncate(LARGE)
        home.banger("daemon", "start", check=True)
        try:
            yield home
        finally:
            home.banger("vm", "delete", "one", check=True)


def place(home: Home, name: str) -> Path:
    """A directory that the guest, which is a process of this host, can read and write."""
    return home.directory / name


def daemon_pid(home: Home) -> int:
    return int(json.loads(home.banger("daemon", "status", "--json", check=True).stdout)["pid"])


def exec_(client: Client) -> Iterator[object]:
    with client.vm_exec("one", ExecVm(argv=["/bin/sh", "-c", "echo up; exec sleep 600"])) as command:
        yield from command


def session(client: Client, name: str) -> Session:
    return client.sessions("one").start(["/bin/sh", "-c", "echo up; exec cat"], stdin=True, name=name)


def attach(client: Client) -> Iterator[object]:
    with session(client, "attached").attach(tail=None) as attachment:
        yield from attachment


def logs(client: Client) -> Iterator[object]:
    yield from session(client, "followed").logs(follow=True)


def wait(client: Client) -> Iterator[object]:
    awaited = session(client, "awaited")
    yield awaited.ref
    yield awaited.wait()


def hold(client: Client) -> Iterator[object]:
    reply = client.vm_hold("one")
    yield reply.status
    yield from reply.chunks()


def forward(client: Client) -> Iterator[object]:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    return client.vm_forward("one", f"{port}:9")


def put(home: Home, client: Client) -> Iterator[object]:
    """A file goes in, a piece at a time, as a thread of the client's own sends it."""
    told = threading.Event()

    def archive() -> Iterator[bytes]:
        entry = tarfile.TarInfo("large")
        entry.size = LARGE
        yield entry.tobuf()
        while True:
            yield bytes(PIECE)
            told.set()
            time.sleep(0.02)

    sent: list[BaseException] = []

    def send() -> None:
        try:
            client.vm_put("one", str(place(home, "to")), archive())
        except BaseException as error:
            sent.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    assert told.wait(WAIT)
    yield "begun"
    sender.join(WAIT)
    raise sent[0]


def get(home: Home, client: Client) -> Iterator[object]:
    """A file comes out, as slowly as somebody reads it."""
    reply = client.vm_get("one", str(place(home, "from") / "large"))
    for chunk in reply.chunks():
        yield chunk
        time.sleep(0.02)


def events(client: Client) -> Iterator[object]:
    heard = client.events()
    yield "listening"
    yield from heard


def follow(client: Client) -> Iterator[object]:
    """The creation of a machine, which the next daemon takes back."""
    yield from client.follow(client.vm_create(request("two")))


CONVERSATIONS: dict[str, Callable[[Home, Client], Iterator[object]]] = {
    "exec": lambda home, client: exec_(client),
    "attachment": lambda home, client: attach(client),
    "log": lambda home, client: logs(client),
    "wait": lambda home, client: wait(client),
    "console": lambda home, client: client.vm_logs("one", follow=True),
    "hold": lambda home, client: hold(client),
    "forward": lambda home, client: forward(client),
    "put": put,
    "get": get,
    "events": lambda home, client: events(client),
    "follow": lambda home, client: follow(client),
}


class Conversation(Thread):
    """What one client has with the daemon; what ended it."""

    def __init__(self, home: Home, name: str) -> None:
        super().__init__(name=name)
        self.home = home
        self.begun = False
        self.end: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            with Client(self.home.paths.socket, start=False, timeout=WAIT) as client:
                for _ in CONVERSATIONS[self.name](self.home, client):
                    self.begun = True
        except BaseException as error:
            self.end = error


@contextmanager
def conversations(home: Home) -> Iterator[list[Conversation]]:
    """One of each kind, begun."""
    with ExitStack() as stack:
        found = [Conversation(home, name) for name in CONVERSATIONS]
        for each in found:
            stack.callback(each.join, WAIT)
        limit = time.monotonic() + WAIT
        while not all(each.begun for each in found):
            assert time.monotonic() < limit and all(each.is_alive() for each in found), [each.end for each in found]
            time.sleep(0.02)
        yield found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["in-order", "killed"])
def test_conversations_end_with_a_type_when_their_daemon_does(serving: Home, number: int) -> None:
    with Client(serving.paths.socket) as client:
        before = client.vm_show("one")
    process = leaks.process_of(daemon_pid(serving))
    assert process is not None
    with conversations(serving) as begun:
        os.kill(process.pid, number)
        for each in begun:
            each.join(WAIT)
            assert isinstance(each.end, errors.BangerError), f"{each.name}: {each.end!r}"
    serving.banger("daemon", "start", check=True)
    with Client(serving.paths.socket) as client:
        assert client.vm_show("one") == before, "the machine did not notice"
        assert [each.name for each in client.vm_list().vms] == ["one"], "what was followed was taken back"
        with client.vm_exec("one", ExecVm(argv=["/bin/echo", "again"])) as command:
            assert b"".join(data for _, data in command) == b"again\n"
