"""An attachment to the agent of one guest: one stream of bytes, many streams over it.

Whatever a monitor makes of the agent's port reaches us as a connected unix socket, which proves nothing about the
guest: a virtio-serial port is no connection, and a vsock may be reset when the machine is resumed. An attachment
therefore begins with an epoch: SYNC is sent until the guest has answered with this epoch, and everything before that
answer belongs to an earlier attachment and is thrown away. The guest in turn ends the attached commands of the earlier
epoch; detached sessions go on.

The guest is hostile. The reader holds one frame, each stream at most one window per channel; whatever breaks the
protocol ends the attachment with `errors.ProtocolViolation`, and so does the end of the socket with
`errors.AgentLost`. Both reach everyone who waits on a stream.
"""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from banger import errors
from banger.guest import files, listeners, machine, session, wire
from banger.guest.command import ExecSpec, GuestCommand
from banger.guest.connection import GuestConnection
from banger.guest.files import State
from banger.guest.listeners import Listeners
from banger.guest.machine import GuestHealth
from banger.guest.session import Attaching, Attachment, Session
from banger.guest.stream import Stream, refusal
from banger.log import printable

READ_SIZE = 128 * 1024
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 5.0
"""SYNC is repeated in pauses that grow from one to the other: what is sent before the guest listens waits in line."""

UNENDED_LIMIT = 512
"""Closed streams that the guest may leave without an END before it is cut off: all connections, and as many more."""


Connect = Callable[[], Awaitable[socket.socket]]
"""Makes a connected, non-blocking socket to the agent's port. Raises `errors.AgentLost` when the machine is gone."""


class _ClosedEarly(Exception):
    """The connection ended before the agent had answered."""


class Channel:
    """Use `attach`. All methods belong to the event loop that attached."""

    hello: wire.Ack
    """The agent's protocol and its version."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        epoch = secrets.randbits(64)
        self._epoch = epoch
        self._reader = reader
        self._writer = writer
        self._encoder = wire.Encoder(epoch)
        self._decoder = wire.Decoder(epoch)
        self._streams: dict[int, Stream] = {}
        self._next = 1
        self._acknowledged = asyncio.Event()
        self._gone: errors.BangerError | None = None
        self._task = asyncio.create_task(self._read(), name="agent channel")

    @classmethod
    async def attach(cls, connect: Connect, *, timeout: float) -> "Channel":
        """Connect and take up the conversation; a connection that ends before the agent's answer is made again.

        Raises what ``connect`` raises, `errors.GuestSilent` when the agent does not answer in ``timeout`` seconds,
        `errors.ProtocolViolation` when it speaks another protocol.
        """
        pause = FIRST_PAUSE / 10
        try:
            async with asyncio.timeout(timeout):
                while True:
                    try:
                        return await cls._take_up(await connect())
                    except _ClosedEarly:
                        await asyncio.sleep(pause)
                        pause = min(pause * 1.5, LONGEST_PAUSE)
        except TimeoutError:
            raise errors.GuestSilent(seconds=timeout, name="") from None

    @classmethod
    async def _take_up(cls, connected: socket.socket) -> "Channel":
        channel = cls(*await asyncio.open_unix_connection(sock=connected, limit=READ_SIZE))
        try:
            await channel._handshake()
        except errors.AgentLost:
            await channel.close()
            raise _ClosedEarly from None
        except BaseException:
            await channel.close()
            raise
        return channel

    async def _handshake(self) -> None:
        self._writer.write(wire.sync(self._epoch, 0, wire.SYNC_COUNT))
        pause, round = FIRST_PAUSE, 1
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._acknowledged.wait()
                    break
            self._writer.write(wire.sync(self._epoch, round))
            pause, round = min(pause * 1.5, LONGEST_PAUSE), round + 1
        if self._gone is not None:
            raise self._gone
        assert self._decoder.ack is not None
        self.hello = self._decoder.ack
        if self.hello.protocol != wire.PROTOCOL:
            raise errors.ProtocolViolation(
                reason=f"it speaks version {self.hello.protocol}, this host version {wire.PROTOCOL}"
            )

    # -- the reader ---------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        failure: errors.BangerError
        try:
            while data := await self._reader.read(READ_SIZE):
                for frame in self._decoder.feed(data):
                    self._dispatch(frame)
                if self._decoder.ack is not None:
                    self._acknowledged.set()
            failure = errors.AgentLost(reason="the machine closed the connection")
        except errors.ProtocolViolation as violation:
            failure = violation
        except OSError as error:
            failure = errors.AgentLost(reason=error.strerror or "the connection broke")
        self._lose(failure)

    def _dispatch(self, frame: wire.Frame) -> None:
        stream = self._streams.get(frame.stream)
        if stream is None:
            raise errors.ProtocolViolation(reason="a frame for a stream that does not exist")
        stream.receive(frame)
        if frame.kind == wire.Kind.END:
            del self._streams[frame.stream]

    def _lose(self, failure: errors.BangerError) -> None:
        if self._gone is not None:
            return
        self._gone = failure
        for stream in self._streams.values():
            stream.fail(failure)
        self._streams.clear()
        self._acknowledged.set()
        self._writer.transport.abort()  # closing would wait for a guest that does not read

    # -- streams ------------------------------------------------------------------------------------------------------

    def _send(self, kind: int, stream: int, payload: bytes | memoryview = b"", channel: int = 0) -> None:
        if self._gone is None:
            self._writer.write(self._encoder.frame(kind, stream, payload, channel))

    async def _drain(self) -> None:
        try:
            await self._writer.drain()
        except OSError:
            if self._gone is not None:
                raise self._gone from None
            raise errors.AgentLost(reason="the connection broke") from None

    async def _open(self, operation: wire.Operation, request: bytes = b"") -> Stream:
        """Send a request on a stream of its own."""
        if self._gone is not None:
            raise self._gone
        if len(request) > wire.MAX_REQUEST:
            raise errors.UsageError(detail="the arguments and variables of the command are too long")
        if sum(each.closing for each in self._streams.values()) > UNENDED_LIMIT:
            self._lose(errors.ProtocolViolation(reason="it does not end what was closed"))
            raise self._gone or errors.AgentLost(reason="closed")
        stream = Stream(self._next, self._send, self._drain)
        self._next += 1
        self._streams[stream.number] = stream
        *parts, last = [request[at : at + wire.MAX_PAYLOAD] for at in range(0, len(request), wire.MAX_PAYLOAD)] or [b""]
        for part in parts:
            self._send(wire.Kind.PART, stream.number, part)
        self._send(wire.Kind.OPEN, stream.number, last, operation)
        await self._drain()
        return stream

    async def _request(
        self, operation: wire.Operation, request: bytes = b"", what: str = "", noun: str = ""
    ) -> wire.Result:
        """A request that has nothing but a result. ``what`` and ``noun`` are for `stream.refusal`."""
        stream = await self._open(operation, request)
        return await _accepted(stream, stream.ended, what, noun)

    async def _start(self, operation: wire.Operation, request: bytes, what: str, noun: str = "") -> Stream:
        """A request that goes on after the guest has taken it up."""
        stream = await self._open(operation, request)
        await _accepted(stream, stream.started, what, noun)
        return stream

    # -- commands -----------------------------------------------------------------------------------------------------

    async def exec(self, spec: ExecSpec) -> GuestCommand:
        """Start a command. Raises `errors.CommandNotFound`, `errors.CommandNotExecutable`, `errors.GuestRefused`."""
        stream = await self._start(wire.Operation.EXEC, spec.encode(), spec.argv[0])
        return GuestCommand(stream, spec.tty is not None)

    # -- sessions -----------------------------------------------------------------------------------------------------

    async def session_start(self, spec: ExecSpec, name: str = "") -> str:
        """Start a command that outlives this attachment; the id of its session.

        Raises as `exec`, and `errors.AlreadyExists` where a session of this name runs.
        """
        request = spec.encode() + (wire.field(wire.Field.SESSION, name) if name else b"")
        result = await self._request(wire.Operation.DETACH, request, spec.argv[0])
        return printable(result.text(wire.Field.SESSION), 32)

    async def sessions(self) -> list[Session]:
        """The sessions that run or have ended, oldest first."""
        return session.decode(await self._request(wire.Operation.SESSIONS))

    async def session(self, id: str) -> Session:
        """One of them, with its directory and user. Raises `errors.NotFound`."""
        found = session.decode(await self._request(wire.Operation.SESSIONS, session.request(id), id, "session"))
        if len(found) != 1:
            raise errors.ProtocolViolation(reason="another number of sessions than the one that was asked for")
        return found[0]

    async def session_attach(self, id: str, how: Attaching) -> Attachment:
        """Read what a session says, and feed it. Raises `errors.NotFound`, and with ``how.feed``

        `errors.SessionEnded`, `errors.StdinTaken`, `errors.StdinClosed`.
        """
        stream = await self._start(wire.Operation.ATTACH, how.encode(id), id, "session")
        return Attachment(stream, how.feed)

    async def session_send(self, id: str, chunks: AsyncIterator[bytes], *, eof: bool, patience: float) -> int:
        """Write to a session's stdin, and close it then if ``eof``; how many bytes it took, which is all of them.

        Raises as `session_attach`, and `errors.StdinStuck` when nothing is taken for ``patience`` seconds.
        """
        request = session.request(id) + (wire.field(wire.Field.EOF) if eof else b"")
        stream = await self._start(wire.Operation.SEND, request, id, "session")
        return await session.feed(stream, id, chunks, patience)

    async def session_kill(self, id: str, signal: int, stop: float = 0) -> None:
        """Signal the process group of a session; after ``stop`` seconds, if any, it is killed.

        Raises `errors.NotFound`, `errors.SessionEnded`.
        """
        await self._request(wire.Operation.KILL, session.kill_request(id, signal, stop), id, "session")

    # -- files and connections ----------------------------------------------------------------------------------------

    async def put(self, dest: str, chunks: AsyncIterator[bytes]) -> None:
        """Extract a tar stream below the directory ``dest`` of the guest. Raises `errors.GuestRefused`."""
        stream = await self._open(wire.Operation.PUT, wire.field(wire.Field.PATH, dest))
        await files.put(stream, chunks)

    async def get(self, path: str) -> AsyncIterator[bytes]:
        """A tar stream of one path of the guest. Raises `errors.GuestRefused`."""
        stream = await self._open(wire.Operation.GET, wire.field(wire.Field.PATH, path))
        async with contextlib.aclosing(files.get(stream)) as pieces:
            async for data in pieces:
                yield data

    async def states(self, path: str, names: Sequence[bytes]) -> list[State | None]:
        """What names below a directory of the guest are, None for those that are not there. Links are not followed in
        a name's last part. Raises `errors.GuestRefused`, `errors.ProtocolViolation`."""
        where = wire.field(wire.Field.PATH, path)

        async def ask(some: Sequence[bytes]) -> Stream:
            return await self._open(
                wire.Operation.STATES, where + b"".join(wire.field(wire.Field.ARG, n) for n in some)
            )

        return await files.states(ask, names)

    async def dial(self, port: int, host: str = "127.0.0.1") -> GuestConnection:
        """A TCP connection from inside the guest to ``host``, a numeric address or "localhost"."""
        request = wire.field(wire.Field.HOST, host) + wire.field(wire.Field.PORT, port)
        return GuestConnection(await self._start(wire.Operation.DIAL, request, host))

    # -- the machine --------------------------------------------------------------------------------------------------

    async def health(self) -> GuestHealth:
        return machine.health(await self._request(wire.Operation.HEALTH))

    async def listeners(self) -> Listeners:
        """The sockets that listen in the guest. Raises `errors.GuestRefused`, `errors.ProtocolViolation`."""
        return await listeners.gather(files.get(await self._open(wire.Operation.LISTENERS)))

    async def set_clock(self, ns: int | None = None) -> None:
        """Set the guest's clock to ``ns`` since 1970, or to the host's."""
        await self._request(wire.Operation.CLOCK, machine.clock_request(ns))

    async def sync(self) -> None:
        """Write what the guest has not yet written to its disks."""
        await self._request(wire.Operation.FLUSH)

    async def poweroff(self) -> None:
        """Ask the guest to shut down in order; returns when the agent has passed that on."""
        await self._request(wire.Operation.POWEROFF)

    # -- the end ------------------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        return self._gone is not None

    async def wait_closed(self) -> None:
        """Wait until the attachment has ended, for whatever reason."""
        await asyncio.shield(self._task)

    async def close(self) -> None:
        """Let go. The guest notices at the next attachment, and ends the commands of this one then."""
        self._lose(errors.AgentLost(reason="this side closed it"))
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


async def _accepted(stream: Stream, answer: "asyncio.Future[wire.Result]", what: str, noun: str) -> wire.Result:
    """The guest's answer, or the error that it tells; a request that nobody waits for any more is closed."""
    try:
        result = await asyncio.shield(answer)
    except asyncio.CancelledError:
        stream.close()
        raise
    failed = refusal(result, what, noun)
    if failed is not None:
        raise failed
    return result
