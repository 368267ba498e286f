"""The client's end of a WebSocket (RFC 6455) over the daemon's unix socket.

Sending and receiving share nothing but the socket, so that one thread may send while another receives, and a full
buffer in one direction never stops the other: a command that is fed faster than it reads, and says something
meanwhile, would stand still for ever otherwise. That, and start-up time, is why this is not a library's client.

A frame is two bytes (final and kind; mask bit and length), an extended length of 2 or 8 bytes where it is 126 or 127,
four bytes of mask from a client, and the payload. No extension is offered, so none is understood.
"""

import _socket
import _thread
import os
import select
import time

import banger
from banger.sdk.transport import Reply, Transport, Wire, ready

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from typing import NoReturn

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FINAL = 0x80
CONTROL_LIMIT = 125
MESSAGE_LIMIT = 4 << 20
NORMAL = 1000
IDLE_SECONDS = 15.0
"""How long an idle stream may be taken up again: half as long as the daemon waits for what comes next."""
KEY, ACCEPTED = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The handshake's question and its answer: those of the standard's own example (RFC 6455, 1.3).

A key is random so that no proxy answers from what it has kept. There is none on a unix socket, and to make the answer
of another key a verb would load OpenSSL.
"""


class Closed(Exception):
    """The daemon closed the stream; ``reason`` is its word for it."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"closed ({code}): {reason}")
        self.code = code
        self.reason = reason


class WebSocket:
    """An open stream of messages. One thread receives; any may send.

    Opening raises what the daemon answers, `errors.DaemonUnreachable`, and what `banger.sdk.transport.connect` does.
    """

    def __init__(self, transport: Transport, target: str) -> None:
        self.target = target
        self._since = 0.0
        self._socket = transport.connect()
        self._wire = Wire(transport.path, self._socket)
        self._sending = _thread.allocate_lock()
        self._pong: bytes | None = None
        try:
            self._shake_hands(target)
        except BaseException:
            self._socket.close()
            raise
        self._socket.settimeout(None)

    def _shake_hands(self, target: str) -> None:
        head = (
            f"GET {target} HTTP/1.1\r\nHost: banger\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        )
        self._wire.send(head.encode("ascii"))
        reply = Reply(self._wire, lambda wire: None)
        reply.raise_for_status()
        if reply.status != 101 or reply.headers.get("sec-websocket-accept") != ACCEPTED:
            raise self._wire.broken("no WebSocket")

    def rest(self) -> None:
        """Nothing is under way from now on."""
        self._since = time.monotonic()

    def usable(self) -> bool:
        """Whether a stream at rest may be taken up again."""
        return time.monotonic() - self._since < IDLE_SECONDS and self._wire.usable()

    # -- out ---------------------------------------------------------------------------------------------------------

    def send(self, message: bytes | str) -> None:
        """Send a message; waits while the daemon does not read. Raises `errors.DaemonUnreachable`."""
        if isinstance(message, str):
            self._send(TEXT, message.encode("utf-8"))
        else:
            self._send(BINARY, message)

    def _send(self, kind: int, payload: bytes) -> None:
        with self._sending:
            self._wire.send(frame(kind, payload))
            if self._pong is not None:
                self._answer_ping()

    def _answer_ping(self) -> None:
        payload, self._pong = self._pong or b"", None
        self._wire.send(frame(PONG, payload))

    def _pong_if_possible(self) -> None:
        """Answer a ping now, or leave it to the next `send`: who receives must never wait for who sends."""
        if self._sending.acquire(blocking=False):
            try:
                if ready(self._socket, select.POLLOUT):
                    self._answer_ping()
            except banger.errors.DaemonUnreachable:
                pass  # what it said before it went is still to be read
            finally:
                self._sending.release()

    # -- in ----------------------------------------------------------------------------------------------------------

    def receive(self) -> bytes | str:
        """The next message. Raises `Closed`, and `errors.DaemonUnreachable` when the connection broke."""
        parts = bytearray()
        kind = CONTINUATION
        while True:
            final, code, payload = self._frame()
            if code == CLOSE:
                self._closed(payload)
            if code == PING:
                self._pong = payload
                self._pong_if_possible()
            if code in (PING, PONG):
                continue
            if (code == CONTINUATION) != (kind != CONTINUATION) or code > BINARY:
                raise self._wire.broken("a frame out of place")
            kind = kind or code
            if final and not parts:
                return self._message(kind, payload)
            parts += payload
            if len(parts) > MESSAGE_LIMIT:
                raise self._wire.broken("a message that does not end")
            if final:
                return self._message(kind, bytes(parts))

    def _frame(self) -> tuple[bool, int, bytes]:
        first, second = self._wire.exactly(2)
        length = second
        if second == 126:
            length = int.from_bytes(self._wire.exactly(2), "big")
        elif second == 127:
            length = int.from_bytes(self._wire.exactly(8), "big")
        code = first & 0x0F
        control = code >= CLOSE
        if first & 0x70 or second & 0x80 or length > (CONTROL_LIMIT if control else MESSAGE_LIMIT):
            raise self._wire.broken("a frame that is not allowed")
        if control and not first & FINAL:
            raise self._wire.broken("a control frame in parts")
        return bool(first & FINAL), code, self._wire.exactly(length)

    def _message(self, kind: int, payload: bytes) -> bytes | str:
        if kind == BINARY:
            return payload
        try:
            return payload.decode("utf-8")
        except UnicodeDecodeError:
            raise self._wire.broken("text that is not UTF-8") from None

    def _closed(self, payload: bytes) -> "NoReturn":
        code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else NORMAL
        raise Closed(code, payload[2:].decode("utf-8", "replace"))

    # -- the end -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Say goodbye where that can be done at once, and close the connection."""
        if self._sending.acquire(blocking=False):
            try:
                if ready(self._socket, select.POLLOUT):
                    self._wire.send(frame(CLOSE, NORMAL.to_bytes(2, "big")))
            except banger.errors.DaemonUnreachable:
                pass  # it was quicker
            finally:
                self._sending.release()
        self.shut()
        self._socket.close()

    def shut(self) -> None:
        """End both directions, also for who waits in one of them."""
        try:
            self._socket.shutdown(_socket.SHUT_RDWR)
        except OSError:
            pass  # the daemon has closed it


def frame(kind: int, payload: bytes) -> bytes:
    """One frame of a client, masked as the standard asks."""
    size = len(payload)
    if size < 126:
        head = bytes((FINAL | kind, 0x80 | size))
    elif size < 1 << 16:
        head = bytes((FINAL | kind, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((FINAL | kind, 0x80 | 127)) + size.to_bytes(8, "big")
    mask = os.urandom(4)
    pattern = (mask * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload, "little") ^ int.from_bytes(pattern, "little")
    return head + mask + masked.to_bytes(size, "little")
