"""One request from its bytes to its reply and its line in the log."""

import base64
import gc
import json
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from banger.helper import answer, protocol
from banger.helper.host import Host
from tests.helper_operations import OPERATIONS

PEER = (4711, 1000)


class Exchange:
    """What came back for a request, what it cost, and what the log says."""

    def __init__(self, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        gc.collect()  # what other tests have let go of would be closed while descriptors are counted here
        self._capfd = capfd
        self._host = Host(owner_uid=os.getuid(), owner_gid=os.getgid(), state=str(tmp_path), runtime=str(tmp_path))

    def raw(self, data: bytes, descriptors: list[int] | None = None) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        before = len(os.listdir("/proc/self/fd"))
        with left:
            sending = threading.Thread(target=protocol.send, args=(left, data, descriptors or [], 5.0))
            sending.start()
            with right:
                answer.answer(right, self._host, OPERATIONS, PEER)
            sending.join()
            try:
                body, received = protocol.receive(left, 5.0)
            except protocol.Lost:
                body, received = b"null", []
            protocol.close_all(received)
        assert len(os.listdir("/proc/self/fd")) == before - 2
        (line,) = self._capfd.readouterr().err.splitlines()
        return json.loads(body), json.loads(line)

    def ask(self, operation: str, descriptors: list[int] | None = None, **fields: Any) -> tuple[Any, dict[str, Any]]:
        return self.raw(protocol.frame({"operation": operation, **fields}), descriptors)


@pytest.fixture
def exchange(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Exchange:
    return Exchange(capfd, tmp_path)


def test_done(exchange: Exchange) -> None:
    reply, line = exchange.ask("test.echo", arguments={"text": "hello", "number": 2}, change="0abc")
    assert reply == {"values": {"text": "hello", "number": 2, "size": 0, "pair": ["", 0]}}
    assert line.pop("ms") >= 0
    assert line == {
        "pid": 4711,
        "uid": 1000,
        "change": "0abc",
        "operation": "test.echo",
        "undo": False,
        "what": "echo hello",
        "outcome": "done",
    }


def test_refused_failed_and_undone(exchange: Exchange) -> None:
    reply, line = exchange.ask("test.echo", arguments={"text": "refuse me"})
    assert (reply, line["outcome"], line["reason"]) == ({"refused": "as asked"}, "refused", "as asked")
    reply, line = exchange.ask("test.echo", arguments={"text": "refuse me"}, undo=True)
    assert (reply, line["undo"]) == ({"refused": "as asked, backwards"}, True)
    reply, line = exchange.ask("test.echo", arguments={"text": "fail", "flag": True})
    assert (reply, line["outcome"]) == ({"failed": "as asked", "busy": True}, "failed")
    reply, line = exchange.ask("test.echo", arguments={"text": "anything"}, undo=True)
    assert (reply, line["outcome"]) == ({"values": {}}, "done")


def test_a_failed_call_of_the_system_is_a_failure(exchange: Exchange) -> None:
    reply, line = exchange.ask("test.echo", arguments={"text": "os error"})
    assert reply == {"failed": "/nonexistent/place: No such file or directory", "busy": False}
    assert line["outcome"] == "failed"


def test_an_error_of_our_own_is_told_without_what_it_quotes(exchange: Exchange) -> None:
    secret = base64.b64encode(b"secret content").decode()
    reply, line = exchange.ask("test.echo", arguments={"text": "crash", "content": secret})
    assert reply == {"failed": "an error of the helper's own (ZeroDivisionError)", "busy": False}
    assert line["outcome"] == "crashed"
    assert line["reason"].startswith("ZeroDivisionError at helper_operations.py:")
    assert "secret" not in json.dumps(line) and secret not in json.dumps(line)


def test_an_answer_that_is_too_large_is_a_failure(exchange: Exchange) -> None:
    reply, _ = exchange.ask("test.echo", arguments={"text": "large answer", "number": protocol.LIMIT})
    assert "more than the 8388608" in reply["failed"]


def test_the_log_keeps_its_form_whatever_is_sent(exchange: Exchange) -> None:
    _, line = exchange.ask("test.echo", arguments={"text": 'x\n{"outcome": "done"}\x1b[2J\u202e' + "y" * 5000})
    assert line["outcome"] == "done"
    assert len(line["what"]) == 300


def test_unknown_operations_and_arguments(exchange: Exchange) -> None:
    assert exchange.ask("test.other")[0] == {"refused": "there is no operation 'test.other'"}
    assert exchange.ask("test.echo", arguments={})[0] == {"refused": "test.echo: text is missing"}
    assert "no 'NAME'" in exchange.ask("test.echo", arguments={"NAME": "x"})[0]["refused"]


def test_descriptors_are_exactly_those_of_the_operation(exchange: Exchange, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("first\nrest")
    file = os.open(tmp_path / "file", os.O_RDONLY)
    assert exchange.ask("test.exchange", [file], arguments={})[0] == {"values": {"line": "first"}}
    assert "takes 1 descriptors, not 0" in exchange.ask("test.exchange", arguments={})[0]["refused"]
    assert "takes 1 descriptors, not 2" in exchange.ask("test.exchange", [file] * 2, arguments={})[0]["refused"]
    assert "takes 0 descriptors, not 1" in exchange.ask("test.exchange", [file], arguments={}, undo=True)[0]["refused"]
    os.close(file)


def test_what_is_no_request(exchange: Exchange) -> None:
    reply, line = exchange.raw(b"\0\0\0\1{")
    assert reply is not None and "not JSON" in reply["refused"]
    assert line["outcome"] == "refused" and "operation" not in line
    reply, line = exchange.raw(b"GET / HTTP/1.1\r\n\r\n")
    assert reply is not None and "more than the" in reply["refused"]


def test_nobody_listens_to_the_reply(exchange: Exchange) -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    left.sendall(protocol.frame({"operation": "test.echo", "arguments": {"text": "x"}}))
    left.close()
    answer.answer(right, exchange._host, OPERATIONS, PEER)
    line = json.loads(exchange._capfd.readouterr().err)
    assert (line["outcome"], line["unheard"]) == ("done", "Broken pipe")
    right.close()
