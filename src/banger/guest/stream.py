"""One stream of an attachment: a request, its data under flow control, and its end.

Invariants. A sender never has more than `wire.WINDOW` bytes of one channel on their way; whoever breaks that is cut
off. Credit goes back only as the consumer takes data, so a slow consumer holds up the guest's command and never
fills the host's memory. END is the last frame of a stream; a stream that the host has closed stays known until then.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

from banger import errors
from banger.guest import wire
from banger.log import printable

GRANT = wire.WINDOW // 4
"""Credit is given back in pieces of this size, to keep CREDIT frames few."""

QUEUE_ENTRIES = 64
"""From here on pieces of one channel are joined, so that a guest that sends single bytes costs no more than others."""

Send = Callable[[int, int, bytes | memoryview, int], None]
"""Queue a frame: kind, stream, payload, channel."""


class Stream:
    """The host's side of a stream. Only `banger.guest.channel.Channel` makes one."""

    def __init__(self, number: int, send: Send, drain: Callable[[], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        self.number = number
        self.started: asyncio.Future[wire.Result] = loop.create_future()
        self.ended: asyncio.Future[wire.Result] = loop.create_future()
        self.closing = False
        self._send = send
        self._drain = drain
        self._queue: deque[tuple[int, bytearray]] = deque()
        self._held = [0, 0, 0]
        self._consumed = [0, 0, 0]
        self._ended_channels: set[int] = set()
        self._credit = wire.WINDOW
        self._sent_eof = False
        self._wake = asyncio.Event()
        self._credit_wake = asyncio.Event()

    # -- what the guest sends -----------------------------------------------------------------------------------------

    def receive(self, frame: wire.Frame) -> None:
        """Take one frame from the attachment's reader. Raises `errors.ProtocolViolation`."""
        if frame.kind == wire.Kind.DATA:
            self._receive_data(frame.channel, frame.payload)
        elif frame.kind == wire.Kind.EOF:
            self._receive_eof(frame.channel)
        elif frame.kind == wire.Kind.CREDIT:
            self._receive_credit(frame.payload)
        elif frame.kind == wire.Kind.STARTED:
            if self.started.done():
                raise errors.ProtocolViolation(reason="a stream that started twice")
            self.started.set_result(wire.Result(frame.payload))
        elif frame.kind == wire.Kind.END:
            self._finish(wire.Result(frame.payload))
        else:
            raise errors.ProtocolViolation(reason=f"an unexpected frame of kind {frame.kind}")

    def _receive_data(self, channel: int, payload: bytes) -> None:
        if channel not in (1, 2) or channel in self._ended_channels or not payload:
            raise errors.ProtocolViolation(reason="data in a channel that is not open")
        self._held[channel] += len(payload)
        if self._held[channel] > wire.WINDOW:
            raise errors.ProtocolViolation(reason="more data than it had credit for")
        if self.closing:
            return
        queue = self._queue
        if len(queue) >= QUEUE_ENTRIES:
            for index in (-1, -2):
                if queue[index][0] == channel:
                    queue[index][1].extend(payload)
                    return
        queue.append((channel, bytearray(payload)))
        self._wake.set()

    def _receive_eof(self, channel: int) -> None:
        if channel not in (1, 2) or channel in self._ended_channels:
            raise errors.ProtocolViolation(reason="the end of a channel that is not open")
        self._ended_channels.add(channel)
        self._wake.set()

    def _receive_credit(self, payload: bytes) -> None:
        self._credit += int.from_bytes(payload, "little")
        if len(payload) != 4 or self._credit > wire.WINDOW:
            raise errors.ProtocolViolation(reason="credit for data that was never sent")
        self._credit_wake.set()

    def _finish(self, result: wire.Result) -> None:
        if not self.started.done():
            self.started.set_result(result)
        self.ended.set_result(result)
        self._wake.set()
        self._credit_wake.set()

    def fail(self, error: errors.BangerError) -> None:
        """The attachment is gone."""
        for future in (self.started, self.ended):
            if not future.done():
                future.set_exception(error)
                future.exception()  # whoever waits gets it; nobody has to wait
        self._wake.set()
        self._credit_wake.set()

    # -- what the host sends ------------------------------------------------------------------------------------------

    async def write(self, data: bytes | bytearray | memoryview) -> bool:
        """Send ``data`` in channel 0 as credit comes in; False when the stream ended and the rest is not wanted."""
        view = memoryview(data).cast("B")
        while view and not self._over():
            if not self._credit:
                self._credit_wake.clear()
                await self._credit_wake.wait()
                continue
            size = min(len(view), self._credit, wire.MAX_PAYLOAD)
            self._credit -= size
            self._send(wire.Kind.DATA, self.number, view[:size], 0)
            view = view[size:]
            await self.flushed()
        return not view

    def _over(self) -> bool:
        """Whether the guest has said its last; raises what broke the attachment."""
        if self.ended.done():
            self.ended.result()
        return self.closing or self.ended.done()

    async def flushed(self) -> None:
        """Wait while the socket's buffer is full."""
        await self._drain()

    def end_input(self) -> None:
        """No more data from the host; idempotent."""
        if not self._sent_eof and not self.closing and not self.ended.done():
            self._sent_eof = True
            self._send(wire.Kind.EOF, self.number, b"", 0)

    def control(self, payload: bytes) -> None:
        if not self.closing and not self.ended.done():
            self._send(wire.Kind.CONTROL, self.number, payload, 0)

    def close(self) -> None:
        """Nobody waits any more: the guest ends what runs. Idempotent, and harmless after the end."""
        if not self.closing and not self.ended.done():
            self._send(wire.Kind.CLOSE, self.number, b"", 0)
        self.closing = True
        self._queue.clear()
        self._wake.set()
        self._credit_wake.set()

    # -- the consumer -------------------------------------------------------------------------------------------------

    async def read(self, only: int | None = None) -> tuple[int, bytes] | None:
        """The next piece of output and its channel, None after the last; gives its credit back.

        ``only`` says which channel there is: then its end is enough, and the stream may live on.
        """
        while not self._queue:
            if self._over() or only in self._ended_channels:
                return None
            self._wake.clear()
            await self._wake.wait()
        channel, data = self._queue.popleft()
        self._held[channel] -= len(data)
        self._consumed[channel] += len(data)
        if self._consumed[channel] >= GRANT and not self.ended.done():
            self._send(wire.Kind.CREDIT, self.number, self._consumed[channel].to_bytes(4, "little"), channel)
            self._consumed[channel] = 0
        return channel, bytes(data)

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """All output to the end of the stream."""
        while (piece := await self.read()) is not None:
            yield piece


def refusal(result: wire.Result, what: str, noun: str = "") -> errors.BangerError | None:
    """The error that an END tells, if it tells one.

    ``what`` names the command; with ``noun`` it names a thing of that kind, which may not be there.
    """
    if wire.Field.ERROR not in result:
        return None
    kind = result.number(wire.Field.ERROR)
    text = printable(result.text(wire.Field.TEXT)) or f"the agent refused (kind {kind})"
    if kind == wire.Refusal.NOT_FOUND:
        return errors.CommandNotFound(command=printable(what))
    if kind == wire.Refusal.NOT_EXECUTABLE:
        return errors.CommandNotExecutable(command=printable(what), reason=text)
    if kind == wire.Refusal.BAD_CWD:
        return errors.NoWorkingDirectory(reason=text)
    if kind == wire.Refusal.NO_ENTRY and noun:
        return errors.NotFound(kind=noun, name=printable(what))
    if kind == wire.Refusal.NO_SPACE:
        return errors.GuestDiskFull(reason=text)
    if kind == wire.Refusal.NAME_TAKEN:
        return errors.AlreadyExists(kind="session", name=text)
    if kind == wire.Refusal.SESSION_ENDED:
        return errors.SessionEnded(name=printable(what))
    if kind == wire.Refusal.STDIN_TAKEN:
        return errors.StdinTaken(name=printable(what))
    if kind == wire.Refusal.STDIN_CLOSED:
        return errors.StdinClosed(name=printable(what), taken=result.number(wire.Field.TAKEN))
    return errors.GuestRefused(reason=text)
