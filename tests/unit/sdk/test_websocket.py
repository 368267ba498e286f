"""Our WebSocket against the library that the daemon uses, and against peers that break the rules."""

import contextlib
import hashlib
import socket
import struct
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from banger import errors
from banger.sdk import websocket
from banger.sdk.transport import Transport
from banger.sdk.websocket import Closed, WebSocket

SALT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

Script = Callable[[socket.socket], None]
Open = Callable[[Script], WebSocket]


@pytest.fixture
def open_to(tmp_path: Path) -> Iterator[Open]:
    """A stream to a server that runs a script once the handshake is done."""
    with contextlib.ExitStack() as stack:

        def start(script: Script) -> WebSocket:
            directory = tmp_path / "run"
            directory.mkdir(mode=0o700)
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(directory / "d.sock"))
            listener.listen()

            def serve() -> None:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(10)
                    shake_hands(connection)
                    script(connection)

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            stack.callback(thread.join, 10)
            opened = WebSocket(Transport(str(directory / "d.sock"), timeout=10), "/v1/x")
            stack.callback(opened.close)
            return opened

        yield start


def shake_hands(connection: socket.socket) -> None:
    head = connection.recv(1 << 16).decode()
    key = next(line.partition(": ")[2] for line in head.split("\r\n") if line.startswith("Sec-WebSocket-Key"))
    accept = b64encode(hashlib.sha1(key.encode() + SALT).digest()).decode()  # noqa: S324
    connection.sendall(
        f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode()
    )


def test_speaks_to_the_daemons_library(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    path = str(directory / "d.sock")

    def echo(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        protocol = ServerProtocol(max_size=None)
        with connection, contextlib.suppress(ConnectionError):  # the client does not wait for our goodbye
            while protocol.state is not State.CLOSED and (data := connection.recv(1 << 16)):
                protocol.receive_data(data)
                for event in protocol.events_received():
                    if isinstance(event, Request):
                        protocol.send_response(protocol.accept(event))
                    elif isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY):
                        protocol.send_ping(b"are you there")
                        send = protocol.send_text if event.opcode is Opcode.TEXT else protocol.send_binary
                        send(bytes(event.data))
                for reply in protocol.data_to_send():
                    connection.sendall(reply)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        thread = threading.Thread(target=echo, args=(listener,), daemon=True)
        thread.start()
        stream = WebSocket(Transport(path, timeout=10), "/v1/x")
        for message in ("text \u00e9", b"", b"x" * 125, b"y" * 126, b"z" * 70_000):
            stream.send(message)
            assert stream.receive() == message
        stream.close()
        thread.join(10)
        assert not thread.is_alive()


def frames(*parts: tuple[int, bytes]) -> bytes:
    """Unmasked frames, as a server sends them."""
    out = b""
    for first, payload in parts:
        size = len(payload)
        head = struct.pack("!BB", first, size) if size < 126 else struct.pack("!BBH", first, 126, size)
        out += head + payload
    return out


def test_a_message_in_parts_is_whole_again(open_to: Open) -> None:
    sent = frames((0x02, b"ab"), (0x89, b"ping"), (0x00, b"cd"), (0x80, b"e"))
    stream = open_to(lambda connection: connection.sendall(sent))
    assert stream.receive() == b"abcde"


def test_the_reason_of_a_close_is_told(open_to: Open) -> None:
    stream = open_to(lambda connection: connection.sendall(frames((0x88, b"\x03\xf3gone away"))))
    with pytest.raises(Closed) as raised:
        stream.receive()
    assert (raised.value.code, raised.value.reason) == (1011, "gone away")


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\x82",
        frames((0x82, b"abc"))[:-1],
        b"\xc2\x00",
        b"\x82\x80\0\0\0\0",
        b"\x82\x7f" + b"\xff" * 8,
        b"\x82\x7f" + struct.pack("!Q", websocket.MESSAGE_LIMIT + 1),
        frames((0x80, b"no beginning")),
        frames((0x02, b"a"), (0x82, b"b")),
        frames((0x83, b"")),
        frames((0x09, b"")),
        b"\x89\x7e\x00\x7e" + b"x" * 126,
        frames((0x81, b"\xff")),
    ],
    ids=[
        "nothing", "half a head", "short", "reserved bits", "masked", "endless", "too large", "continued",
        "not continued", "unknown kind", "control in parts", "large control", "text",
    ],
)  # fmt: skip
def test_a_broken_stream_is_an_unreachable_daemon(open_to: Open, sent: bytes) -> None:
    stream = open_to(lambda connection: connection.sendall(sent))
    with pytest.raises(errors.DaemonUnreachable):
        stream.receive()


def test_a_message_that_does_not_end_has_a_limit(open_to: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "MESSAGE_LIMIT", 1000)
    sent = frames((0x02, b"x" * 600), (0x00, b"x" * 600))
    stream = open_to(lambda connection: connection.sendall(sent))
    with pytest.raises(errors.DaemonUnreachable, match="a message that does not end"):
        stream.receive()


def test_a_stream_at_rest_is_usable_while_nobody_says_anything(open_to: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def wait(connection: socket.socket) -> None:
        over.wait(10)

    stream = open_to(wait)
    assert not stream.usable()  # it has not come to rest yet
    stream.rest()
    assert stream.usable()
    monkeypatch.setattr(websocket, "IDLE_SECONDS", 0.0)
    assert not stream.usable()
    over.set()


@pytest.mark.parametrize(
    "sent", [b"", frames((0x88, b"\x03\xe8")), frames((0x81, b"{}"))], ids=["gone", "close", "text"]
)
def test_a_stream_that_its_server_has_closed_is_not_usable(open_to: Open, sent: bytes) -> None:
    said = threading.Event()

    def close(connection: socket.socket) -> None:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        said.set()

    stream = open_to(close)
    stream.rest()
    assert said.wait(10)
    assert not stream.usable()


def test_who_receives_does_not_wait_for_who_sends(open_to: Open) -> None:
    """The server answers before it reads on: with one lock for both directions nobody would ever move again."""
    answered = threading.Event()

    def answer_first(connection: socket.socket) -> None:
        connection.recv(1)  # the sender has begun, and will fill the socket
        connection.sendall(frames((0x82, b"x" * 60_000)) * 50)
        assert answered.wait(10)
        while connection.recv(1 << 20):
            pass

    stream = open_to(answer_first)
    sender = threading.Thread(target=stream.send, args=(b"y" * (8 << 20),), daemon=True)
    sender.start()
    for _ in range(50):
        assert stream.receive() == b"x" * 60_000
    answered.set()
    sender.join(10)
    assert not sender.is_alive()


def test_a_refused_handshake_is_the_daemons_error(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    path = str(directory / "d.sock")
    body = b'{"code":"not_found","message":"no"}'

    def refuse(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 404 X\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        thread = threading.Thread(target=refuse, args=(listener,), daemon=True)
        thread.start()
        with pytest.raises(errors.NotFound):
            WebSocket(Transport(path, timeout=10), "/v1/x")
        thread.join(10)
