"""HTTP/1.1 over the daemon's unix socket, with nothing but a socket.

The standard client would cost a verb more start-up than everything else that it does. What is left out is left out
on purpose: redirects, cookies, compression, trailers, pipelining. What is kept is what the daemon speaks:

- replies with ``Content-Length`` or in chunks, whole (`Reply.read`) or as they come (`Reply.chunks`, `Reply.lines`);
- requests with a document, or with a body of unknown length sent in chunks;
- one idle connection is kept for the next request, and one idle stream for the next command.

The peer is not trusted to be sane: headers, documents and lines have limits, and silence ends in `DaemonUnreachable`.
"""

import _thread
import os
import select

import banger
from banger import document
from banger.sdk.connection import connect, reason_of, unreachable
from banger.text import printable

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
    from typing import Any, Self

    from banger.api.operation import ErrorBody
    from banger.api.routes import Route
    from banger.sdk.websocket import WebSocket

    Body = bytes | Iterable[bytes]
    Reference = str | tuple[str, str]
    """A name or an id; with the name or id of a session of that machine."""
    Query = Mapping[str, str | Sequence[str]]
    """Parameters by name; a sequence repeats its parameter."""

HEADERS_LIMIT = 64 << 10
DOCUMENT_LIMIT = 64 << 20
LINE_LIMIT = 4 << 20
PIECE = 256 << 10
"""Most bytes that one read of the socket takes, and one chunk of an upload carries."""

_UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")


def quote(text: str) -> str:
    """``text`` as one segment of a path or one value of a query (RFC 3986); `urllib` would cost too much to load."""
    return "".join(chr(each) if each in _UNRESERVED else f"%{each:02X}" for each in os.fsencode(text))


def target(route: "Route", ref: "Reference" = "", query: "Query | None" = None) -> str:
    """The request's target: the row's path with what it is about, and the query."""
    ref, session = (ref, "") if isinstance(ref, str) else ref
    path = route.path.replace("{ref}", quote(ref)).replace("{session}", quote(session))
    pairs = [
        f"{name}={quote(each)}"
        for name, value in (query or {}).items()
        for each in ([value] if isinstance(value, str) else value)
    ]
    return f"{path}?{'&'.join(pairs)}" if pairs else path


def encoded(request: object) -> str:
    """A request, plain data or a structure of `banger.api`, as a document; loads msgspec only for the latter."""
    if isinstance(request, dict):
        return document.dumps(request)
    import msgspec

    return msgspec.json.encode(request).decode()


def ready(connection: "_socket.socket", event: int) -> bool:
    """Whether a connection can be read or written now; not by select(2), which knows only small descriptors."""
    poll = select.poll()
    poll.register(connection, event)
    return bool(poll.poll(0))


class Wire:
    """One connection, and what was received but not yet asked for."""

    def __init__(self, path: str, connection: "_socket.socket") -> None:
        self.path = path
        self._socket = connection
        self._buffer = bytearray()

    def close(self) -> None:
        self._socket.close()

    def set_timeout(self, seconds: float | None) -> None:
        self._socket.settimeout(seconds)

    def usable(self) -> bool:
        """Whether an idle connection still stands: anything to read on it is its end."""
        return not self._buffer and not ready(self._socket, select.POLLIN)

    def send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise unreachable(self.path, reason_of(error)) from error

    def _fill(self) -> bool:
        try:
            data = self._socket.recv(PIECE)
        except OSError as error:
            raise unreachable(self.path, reason_of(error)) from error
        self._buffer += data
        return bool(data)

    def line(self, limit: int) -> bytes:
        """The next line without its end. Raises when the peer ends first, or goes on past ``limit`` bytes."""
        looked = 0
        while (end := self._buffer.find(b"\n", looked)) < 0:
            looked = len(self._buffer)
            if looked > limit:
                raise self.broken("a line that does not end")
            if not self._fill():
                raise self.broken("the connection ended")
        line = bytes(self._buffer[:end]).rstrip(b"\r")
        del self._buffer[: end + 1]
        return line

    def some(self, most: int) -> bytes:
        """At least one byte and at most ``most``; nothing at the end of the connection."""
        if not self._buffer and not self._fill():
            return b""
        data = bytes(self._buffer[:most])
        del self._buffer[:most]
        return data

    def exactly(self, size: int) -> bytes:
        """The next ``size`` bytes; who asks has judged the number."""
        while len(self._buffer) < size:
            if not self._fill():
                raise self.broken("the connection ended")
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def broken(self, reason: str) -> "banger.errors.DaemonUnreachable":
        return unreachable(self.path, f"its reply is not understood ({reason})")


class Reply:
    """An answer whose headers have come. Its body is read once: whole, in chunks, or in lines."""

    def __init__(self, wire: Wire, done: "Callable[[Wire], None]") -> None:
        self._wire = wire
        self._done = done
        self.status = 0
        self.headers: dict[str, str] = {}
        self._ended = False
        self._read_head()
        while 100 <= self.status < 200 and self.status != 101:
            self._read_head()

    def _read_head(self) -> None:
        wire = self._wire
        version, _, rest = wire.line(HEADERS_LIMIT).decode("latin-1").partition(" ")
        code = rest[:3]
        if not version.startswith("HTTP/1.") or not (code.isascii() and code.isdigit() and len(code) == 3):
            raise wire.broken("not HTTP")
        self.status = int(code)
        self.headers.clear()
        size = 0
        while line := wire.line(HEADERS_LIMIT):
            size += len(line)
            if size > HEADERS_LIMIT:
                raise wire.broken("headers without end")
            name, _, value = line.decode("latin-1").partition(":")
            self.headers[name.strip().lower()] = value.strip()

    def _length(self, text: str, base: int) -> int:
        try:
            length = int(text, base)
        except ValueError:
            length = -1
        if length < 0 or not text[:1].isalnum():
            raise self._wire.broken("a length that is no number")
        return length

    def _counted(self, length: int) -> "Iterator[bytes]":
        while length:
            data = self._wire.some(min(length, PIECE))
            if not data:
                raise self._wire.broken("the connection ended")
            length -= len(data)
            yield data

    def _chunked(self) -> "Iterator[bytes]":
        while length := self._length(self._wire.line(1024).partition(b";")[0].strip().decode("latin-1"), 16):
            yield from self._counted(length)
            if self._wire.line(1024):
                raise self._wire.broken("a chunk longer than it said")
        while self._wire.line(HEADERS_LIMIT):
            pass

    def chunks(self) -> "Generator[bytes, None, None]":
        """The body as it comes. Leaving the iteration early closes the connection."""
        finished = False
        try:
            if self.headers.get("transfer-encoding", "").lower() == "chunked":
                yield from self._chunked()
            elif "content-length" in self.headers:
                yield from self._counted(self._length(self.headers["content-length"], 10))
            elif self.status not in (204, 304):
                while data := self._wire.some(PIECE):
                    yield data
                return
            finished = True
        finally:
            self._ended = True
            if finished and self.headers.get("connection", "").lower() != "close":
                self._done(self._wire)
            else:
                self._wire.close()

    def read(self, limit: int = DOCUMENT_LIMIT) -> bytes:
        """The whole body."""
        body = bytearray()
        for data in self.chunks():
            body += data
            if len(body) > limit:
                self.close()
                raise self._wire.broken(f"a document of more than {limit} bytes")
        return bytes(body)

    def lines(self) -> "Iterator[bytes]":
        """The lines of the body, as they come."""
        pending = bytearray()
        chunks = self.chunks()
        try:
            for data in chunks:
                pending += data
                while (end := pending.find(b"\n")) >= 0:
                    line = bytes(pending[:end])
                    del pending[: end + 1]
                    if line.strip():
                        yield line
                if len(pending) > LINE_LIMIT:
                    raise self._wire.broken("a line that does not end")
        finally:
            chunks.close()
        if pending.strip():
            yield bytes(pending)

    def close(self) -> None:
        """Give up what has not been read; nothing happens when all has."""
        if not self._ended:
            self._wire.close()

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def raise_for_status(self) -> None:
        """Raise the error that the daemon sent instead of what was asked for."""
        if self.status >= 400:
            raise error_from(self.status, self.read())


def error_from(status: int, body: bytes) -> "banger.errors.BangerError":
    """The error in a reply's body, as its own class."""
    try:
        return told(document.loads(body))
    except (ValueError, TypeError, KeyError, AttributeError):
        return banger.errors.InternalError(detail=f"HTTP {status}: {printable(body, 200) or 'no message'}")


def told(body: "dict[str, Any]") -> "banger.errors.BangerError":
    """The error that an `ErrorBody` carries, as its own class; raises for what is none."""
    return banger.errors.from_wire(
        str(body["code"]), str(body["message"]), str(body.get("hint", "")), body.get("data", {}), body.get("operation")
    )


def not_understood(error: Exception) -> "banger.errors.InternalError":
    """The error for a document that is not what the daemon should have sent."""
    return banger.errors.InternalError(detail=f"the daemon's reply is not understood: {error}")


def failure(body: "ErrorBody") -> "banger.errors.BangerError":
    """The error that an operation or an event carries, as its own class."""
    return banger.errors.from_wire(body.code, body.message, body.hint, body.data, body.operation)


class Transport:
    """Requests to one daemon. Not for several threads at once.

    ``timeout`` is the longest silence in seconds; None for ever. ``revive`` is called when nothing answers at the
    socket; it starts the daemon or raises.
    """

    def __init__(self, path: str, *, timeout: float | None = 60.0, revive: "Callable[[], None] | None" = None) -> None:
        self.path = path
        self.timeout = timeout
        self._revive = revive
        self._idle: Wire | None = None
        self._stream: WebSocket | None = None
        self._changing = _thread.allocate_lock()  # commands may begin and end in threads of their own

    def close(self) -> None:
        if self._idle is not None:
            self._idle.close()
            self._idle = None
        self.keep_stream(None)

    def idle_stream(self, target: str) -> "WebSocket | None":
        """Take the stream that was kept, if it leads to ``target`` and still stands."""
        with self._changing:
            stream, self._stream = self._stream, None
        if stream is None or (stream.target == target and stream.usable()):
            return stream
        stream.close()
        return None

    def keep_stream(self, stream: "WebSocket | None") -> None:
        """Keep an idle stream for the next command, instead of the one that was kept before."""
        with self._changing:
            before, self._stream = self._stream, stream
        if before is not None:
            before.close()

    def connect(self) -> "_socket.socket":
        """A new connection; the daemon is started when there is none and `Transport` was told how."""
        try:
            return connect(self.path, self.timeout)
        except banger.errors.DaemonUnreachable:
            if self._revive is None:
                raise
        self._revive()
        return connect(self.path, self.timeout)

    def reach(self) -> None:
        """See to it that there is a connection, for the next request. Raises what `connect` raises."""
        self._keep(self._wire())

    def _wire(self) -> Wire:
        wire, self._idle = self._idle, None
        if wire is not None:
            if wire.usable():
                return wire
            wire.close()
        return Wire(self.path, self.connect())

    def _keep(self, wire: Wire) -> None:
        wire.set_timeout(self.timeout)
        if self._idle is not None:
            self._idle.close()
        self._idle = wire

    def request(
        self,
        method: str,
        target: str,
        body: "Body | None" = None,
        *,
        kind: str = "application/json",
        quiet: bool = False,
    ) -> Reply:
        """Send a request and wait for the head of its reply. ``quiet`` allows any silence within the body.

        Raises what the daemon answered, `errors.DaemonUnreachable` and what `connect` raises.
        """
        wire = self._wire()
        try:
            head = f"{method} {target} HTTP/1.1\r\nHost: banger\r\nAccept: */*\r\n"
            if body is None:
                wire.send(f"{head}Content-Length: 0\r\n\r\n".encode("ascii"))
            elif isinstance(body, bytes):
                wire.send(f"{head}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode("ascii") + body)
            else:
                wire.send(f"{head}Content-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode("ascii"))
                self._upload(wire, body)
            reply = Reply(wire, self._keep)
            if quiet:
                wire.set_timeout(None)
        except BaseException:
            wire.close()
            raise
        reply.raise_for_status()
        return reply

    def _upload(self, wire: Wire, body: "Iterable[bytes]") -> None:
        """Send chunks; when the daemon stops listening, its reply says why."""
        pieces = iter(body)
        try:
            for piece in pieces:
                if piece:
                    wire.send(b"%x\r\n" % len(piece) + piece + b"\r\n")
        except banger.errors.DaemonUnreachable:
            return  # a refusal may be waiting to be read; when there is none, reading says that the daemon is gone
        wire.send(b"0\r\n\r\n")
