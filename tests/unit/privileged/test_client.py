"""The client against helpers of every kind: one that answers, one that hangs up, none at all."""

import asyncio
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from banger import errors
from banger.helper import answer, protocol
from banger.helper.host import Host
from banger.helper.operation import Outcome
from banger.privileged.client import Helper
from banger.privileged.runner import Local, Privileged
from tests.helper_operations import OPERATIONS, Echo, Exchange

Behaviour = Callable[[socket.socket], None]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(owner_uid=os.getuid(), owner_gid=os.getgid(), runtime=str(tmp_path), state=str(tmp_path))


@contextmanager
def serving(*behaviours: Behaviour) -> Iterator[str]:
    """A socket that treats each connection in turn as told; a short path, whatever the temporary directory is."""
    with tempfile.TemporaryDirectory(prefix="bh-", dir="/tmp") as directory:
        path = f"{directory}/socket"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            listener.settimeout(20)

            def serve() -> None:
                for behaviour in behaviours:
                    with listener.accept()[0] as connection:
                        connection.settimeout(20)
                        behaviour(connection)

            thread = threading.Thread(target=serve)
            thread.start()
            yield path
            thread.join()


def answering(host: Host) -> Behaviour:
    return lambda connection: answer.answer(connection, host, OPERATIONS, (1, 1))


def says(data: bytes) -> Behaviour:
    def behaviour(connection: socket.socket) -> None:
        protocol.receive(connection, 5)
        connection.sendall(data)

    return behaviour


def ask(path: str, host: Host, operation: Echo | Exchange, descriptors: tuple[int, ...] = ()) -> Outcome:
    return asyncio.run(Helper(path, host, patience=0.2).perform(operation, descriptors=descriptors, change="0a"))


def test_both_ways_give_the_same_answers(host: Host) -> None:
    operation = Echo(text="x", content=bytes(3_000_000), pair=("a", 1))
    with serving(answering(host)) as path:
        assert ask(path, host, operation) == Outcome(
            {"text": "x", "number": 0, "size": 3_000_000, "pair": ["a", 1]}, []
        )
    local = asyncio.run(Local(host).perform(operation))
    assert dict(local.values) == {"text": "x", "number": 0, "size": 3_000_000, "pair": ["a", 1]}


@pytest.mark.parametrize("way", ["local", "helper"])
def test_both_ways_raise_the_same_errors(host: Host, way: str) -> None:
    asked: list[tuple[Echo, type[errors.BangerError], dict[str, object]]] = [
        (Echo(text="refuse me"), errors.PrivilegeRefused, {"reason": "as asked"}),
        (Echo(text="fail", flag=True), errors.PrivilegeFailed, {"reason": "as asked", "busy": True}),
        (Echo(text="fail"), errors.PrivilegeFailed, {"reason": "as asked", "busy": False}),
    ]
    with serving(*[answering(host)] * (len(asked) + 1 if way == "helper" else 0)) as path:
        privileged: Privileged = Helper(path, host) if way == "helper" else Local(host)
        for operation, kind, data in asked:
            with pytest.raises(kind) as raised:
                asyncio.run(privileged.perform(operation))
            assert raised.value.data == {"operation": "test.echo", **data}
        with pytest.raises(errors.PrivilegeRefused, match="backwards"):
            asyncio.run(privileged.revert(Echo(text="refuse me")))


def test_descriptors_go_and_come(host: Host, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("first\nrest")
    file = os.open(tmp_path / "file", os.O_RDONLY)
    before = len(os.listdir("/proc/self/fd"))
    with serving(answering(host)) as path:
        outcome = ask(path, host, Exchange(), (file,))
    assert outcome.values == {"line": "first"}
    (rest,) = outcome.descriptors
    assert os.read(rest, 100) == b"rest"
    assert not os.get_inheritable(rest)
    os.close(rest)
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(file)


def test_what_was_not_heard_is_asked_once_more(host: Host) -> None:
    with serving(lambda connection: None, answering(host)) as path:
        assert ask(path, host, Echo(text="again")).values["text"] == "again"
    with serving(says(b""), answering(host)) as path:
        assert ask(path, host, Echo(text="again")).values["text"] == "again"
    twice = says(b"\0\0\0\5{"), says(b"\0\0")
    with serving(*twice) as path, pytest.raises(errors.HelperUnavailable, match="hung up"):
        ask(path, host, Echo(text="again"))


def test_a_reply_comes_through_although_nobody_reads_the_request(host: Host) -> None:
    """A helper that refuses at the header hangs up while we still send."""
    refusal = protocol.frame({"refused": "too much"})
    refusing = serving(lambda connection: connection.sendall(refusal))
    with refusing as path, pytest.raises(errors.PrivilegeRefused, match="too much"):
        ask(path, host, Echo(text="x", content=bytes(4_000_000)))


def test_a_request_that_is_too_large_is_not_sent(host: Host) -> None:
    with pytest.raises(errors.PrivilegeFailed, match="more than the"):
        ask("/nonexistent/socket", host, Echo(text="x", content=bytes(protocol.LIMIT)))


@pytest.mark.parametrize("reply", [b"null", b"{", b'{"values":1}', b"\xff"])
def test_what_is_no_reply(host: Host, reply: bytes) -> None:
    odd = serving(says(len(reply).to_bytes(4, "big") + reply))
    with odd as path, pytest.raises(errors.HelperUnavailable, match="does not speak"):
        ask(path, host, Echo(text="x"))


def test_nobody_there(host: Host, tmp_path: Path) -> None:
    with pytest.raises(errors.HelperUnavailable, match="No such file"):
        ask(str(tmp_path / "socket"), host, Echo(text="x"))
    with serving() as path:
        stale = path
    with pytest.raises(errors.HelperUnavailable):
        ask(stale, host, Echo(text="x"))


def test_a_helper_that_comes_late_is_waited_for(host: Host) -> None:
    with serving(answering(host)) as path:
        os.rename(path, f"{path}.later")

        async def both() -> Outcome:
            asking = asyncio.create_task(Helper(path, host).perform(Echo(text="late")))
            await asyncio.sleep(0.05)
            os.rename(f"{path}.later", path)
            return await asking

        assert asyncio.run(both()).values["text"] == "late"


def test_the_loop_goes_on_while_an_operation_takes_its_time(host: Host) -> None:
    release = threading.Event()

    def slow(connection: socket.socket) -> None:
        release.wait(20)
        answering(host)(connection)

    async def both(path: str) -> str:
        asking = asyncio.create_task(Helper(path, host).perform(Echo(text="slow")))
        await asyncio.sleep(0.01)
        assert not asking.done()
        release.set()
        return str((await asking).values["text"])

    with serving(slow) as path:
        assert asyncio.run(both(path)) == "slow"


def test_a_cancelled_call_hangs_up(host: Host) -> None:
    ended = threading.Event()

    def watch(connection: socket.socket) -> None:
        protocol.receive(connection, 5)
        assert connection.recv(1) == b""
        ended.set()

    async def cancelled(path: str) -> None:
        asking = asyncio.create_task(Helper(path, host).perform(Echo(text="x")))
        await asyncio.sleep(0.05)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    with serving(watch) as path:
        asyncio.run(cancelled(path))
    assert ended.is_set()
