"""The SDK's HTTP against a daemon that misbehaves in every way that a dying or hostile one can."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from banger import errors
from banger.sdk import transport
from banger.sdk.transport import Transport

Serve = Callable[..., str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start a server that answers its n-th connection with the n-th script, byte for byte, and then closes it."""
    threads: list[threading.Thread] = []
    listeners: list[socket.socket] = []
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)

    def start(*scripts: bytes | Callable[[socket.socket], None]) -> str:
        path = str(directory / "d.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        listeners.append(listener)

        def answer() -> None:
            for script in scripts:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(10)
                    if callable(script):
                        script(connection)
                    else:
                        connection.recv(1 << 16)
                        connection.sendall(script)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        threads.append(thread)
        return path

    yield start
    for listener in listeners:
        listener.close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Transport]:
    """A client of whatever `serve` starts."""
    with contextlib.closing(Transport(str(tmp_path / "run" / "d.sock"), timeout=10)) as client:
        yield client


def fetch(path: str, timeout: float = 10.0) -> bytes:
    with contextlib.closing(Transport(path, timeout=timeout)) as client:
        return client.request("GET", "/v1/vms").read()


def test_reads_a_document_with_a_length(serve: Serve) -> None:
    assert fetch(serve(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")) == b"{}"


def test_reads_a_document_in_chunks(serve: Serve) -> None:
    body = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n"
    assert fetch(serve(body)) == b"abc0123456789"


def test_reads_a_document_that_ends_with_the_connection(serve: Serve) -> None:
    assert fetch(serve(b"HTTP/1.1 200 OK\r\n\r\nall of it")) == b"all of it"


def test_passes_over_an_interim_reply(serve: Serve) -> None:
    assert fetch(serve(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx")) == b"x"


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 2\xff0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfff\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * (transport.HEADERS_LIMIT * 8),
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * transport.HEADERS_LIMIT,
    ],
    ids=[
        "nothing", "another protocol", "status", "short", "negative", "sign", "short chunk", "chunk size",
        "long chunk", "no last chunk", "endless header", "endless headers",
    ],
)  # fmt: skip
def test_a_reply_that_is_not_understood_is_an_unreachable_daemon(serve: Serve, reply: bytes) -> None:
    with pytest.raises(errors.DaemonUnreachable, match="its reply is not understood"):
        fetch(serve(reply))


def test_silence_ends(serve: Serve) -> None:
    def say_nothing(connection: socket.socket) -> None:
        while connection.recv(1 << 16):
            pass

    with pytest.raises(errors.DaemonUnreachable, match="it does not answer"):
        fetch(serve(say_nothing), timeout=0.2)


def test_a_document_has_a_limit(serve: Serve, client: Transport) -> None:
    serve(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 4096)
    with pytest.raises(errors.DaemonUnreachable, match="more than 1000 bytes"):
        client.request("GET", "/").read(1000)


def test_a_line_has_a_limit(serve: Serve, client: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LINE_LIMIT", 1000)
    serve(b'HTTP/1.1 200 OK\r\n\r\n{"a": 1}\n' + b"x" * 4096)
    lines = client.request("GET", "/").lines()
    assert next(lines) == b'{"a": 1}'
    with pytest.raises(errors.DaemonUnreachable, match="a line that does not end"):
        next(lines)


def test_lines_come_as_they_are_sent(serve: Serve, client: Transport) -> None:
    seen = threading.Event()

    def script(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\none\ntw\r\n".replace(b"5", b"6"))
        assert seen.wait(10)
        connection.sendall(b"2\r\no\n\r\n0\r\n\r\n")

    serve(script)
    lines = client.request("GET", "/").lines()
    assert next(lines) == b"one"
    seen.set()
    assert list(lines) == [b"two"]


def test_the_daemons_error_is_raised_as_its_class(serve: Serve) -> None:
    body = (
        b'{"code":"not_found","message":"there is no machine named \'x\'","hint":"look",'
        b'"data":{"name":"x"},"operation":"7"}'
    )
    path = serve(b"HTTP/1.1 404 Not Found\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
    with pytest.raises(errors.NotFound) as raised:
        fetch(path)
    assert (raised.value.message, raised.value.advice) == ("there is no machine named 'x'", "look")
    assert (raised.value.data, raised.value.operation) == ({"name": "x"}, "7")


@pytest.mark.parametrize("body", [b"", b"\x1b[2J<html>", b"[]", b'{"code": 1}', b'{"code":"x","message":"y","data":3}'])
def test_an_error_without_a_body_of_ours_is_printable(serve: Serve, body: bytes) -> None:
    path = serve(b"HTTP/1.1 500 X\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
    with pytest.raises(errors.InternalError) as raised:
        fetch(path)
    assert raised.value.message.isprintable()
    assert "500" in raised.value.message


def two_replies(connection: socket.socket) -> None:
    for answer in (b"a", b"b"):
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n" + answer)


def test_a_connection_is_used_again(serve: Serve, client: Transport) -> None:
    serve(two_replies)
    assert [client.request("GET", "/").read() for _ in range(2)] == [b"a", b"b"]


def test_an_idle_connection_that_was_closed_is_not_used_again(serve: Serve, client: Transport) -> None:
    reply = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx"
    closed = threading.Event()

    def once(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(reply)
        connection.close()
        closed.set()

    serve(once, reply)
    assert client.request("GET", "/").read() == b"x"
    assert closed.wait(10)
    assert client.request("GET", "/").read() == b"x"


def test_an_upload_goes_in_chunks(serve: Serve, client: Transport) -> None:
    received = bytearray()

    def script(connection: socket.socket) -> None:
        while not received.endswith(b"0\r\n\r\n"):
            received.extend(connection.recv(1 << 16))
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    serve(script)
    assert client.request("PUT", "/f", iter([b"abc", b"", b"0" * 17])).read() == b""
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert body == b"3\r\nabc\r\n11\r\n" + b"0" * 17 + b"\r\n0\r\n\r\n"


def test_a_refusal_in_the_middle_of_an_upload_is_what_is_raised(serve: Serve, client: Transport) -> None:
    def script(connection: socket.socket) -> None:
        connection.recv(1000)
        body = b'{"code":"disk_full","message":"full"}'
        connection.sendall(b"HTTP/1.1 507 X\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        connection.shutdown(socket.SHUT_RD)

    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * 65536

    serve(script)
    with pytest.raises(errors.DiskFull):
        client.request("PUT", "/f", endless())


def test_nothing_at_the_socket_names_it(tmp_path: Path) -> None:
    with pytest.raises(errors.DaemonUnreachable, match="nothing listens there") as raised:
        fetch(str(tmp_path / "missing.sock"))
    assert "missing.sock" in raised.value.message


def test_a_stale_socket_is_an_ended_daemon(tmp_path: Path) -> None:
    path = str(tmp_path / "stale.sock")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    with pytest.raises(errors.DaemonUnreachable, match="it has ended"):
        fetch(path)


def test_an_absent_daemon_is_revived_once(serve: Serve, tmp_path: Path) -> None:
    revived = []

    def revive() -> None:
        revived.append(serve(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx"))

    client = Transport(str(tmp_path / "run" / "d.sock"), revive=revive)
    with contextlib.closing(client):
        assert client.request("GET", "/").read() == b"x"
    assert len(revived) == 1


def test_a_directory_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(errors.UnsafeDirectory, match="others may write to it"):
        fetch(str(open_to_all / "d.sock"))


def test_a_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(errors.UnsafeDirectory, match="it is not a directory"):
        fetch(str(tmp_path / "link" / "d.sock"))


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "mine"
    directory.mkdir(mode=0o700)
    owner = os.stat(directory).st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if owner == 0:
        os.chown(directory, 4711, 4711)
    with pytest.raises(errors.UnsafeDirectory, match="it belongs to uid"):
        fetch(str(directory / "d.sock"))


def test_quote_leaves_nothing_that_a_path_could_mean() -> None:
    assert transport.quote("a/b?c=d&e#\u00e9 ~") == "a%2Fb%3Fc%3Dd%26e%23%C3%A9%20~"
