"""Sessions: commands that live in the guest's agent, outlive every attachment, and keep the last that they said."""

import asyncio
import contextlib
import math
import struct
from collections.abc import AsyncIterator

import msgspec

from banger import errors
from banger.guest import wire
from banger.guest.command import CommandEnd, GuestCommand, command_end, has_ended
from banger.guest.stream import Stream, refusal
from banger.log import printable

PLACES = 64
"""How many sessions an agent keeps."""

ENDING = 5.0
"""Seconds that an agent may take to say how much of what was sent it has passed on."""

STDOUT, STDERR, BOTH, NEITHER = 1, 2, 3, 0
"""Which streams of a session an attachment is to read."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A session. While it runs ``end`` is None. Times are the guest's, in ns since 1970; texts are printable."""

    id: str
    name: str
    argv: tuple[str, ...]
    """Cut to 255 bytes in a list, to 2 KiB where one session was asked for."""
    cwd: str
    user: str
    tty: bool
    stdin: bool
    """Whether its stdin is open."""
    pid: int
    started_ns: int
    ended_ns: int
    end: CommandEnd | None
    stdout_bytes: int
    """All that it wrote there, or on its terminal."""
    stderr_bytes: int
    dropped_bytes: int
    """How much of both is not kept any more."""

    @property
    def running(self) -> bool:
        return self.end is None


class Attaching(msgspec.Struct, frozen=True, kw_only=True):
    """How to attach to a session: ``follow`` until it ends, ``feed`` its stdin and so keep others from it,

    ``streams`` to read (`BOTH`), from the last ``tail`` lines on, a terminal of ``size`` (rows, columns).
    """

    follow: bool = True
    feed: bool = False
    streams: int = BOTH
    tail: int | None = None
    size: tuple[int, int] | None = None

    def encode(self, id: str) -> bytes:
        """The fields of the request."""
        parts = [request(id), wire.field(wire.Field.STREAMS, self.streams)]
        parts += [wire.field(wire.Field.FOLLOW)] if self.follow else []
        parts += [wire.field(wire.Field.STDIN)] if self.feed else []
        parts += [wire.field(wire.Field.TAIL, self.tail)] if self.tail is not None else []
        if self.size is not None:
            parts.append(
                wire.field(wire.Field.TTY, struct.pack("<HH", *(min(max(each, 0), 0xFFFF) for each in self.size)))
            )
        return b"".join(parts)


class Attachment(GuestCommand):
    """What a session says, and the way to its stdin. `kill` leaves it: the session goes on."""

    def __init__(self, stream: Stream, feed: bool) -> None:
        super().__init__(stream, tty=feed)

    async def finished(self) -> tuple[CommandEnd | None, int]:
        """After all output: how the session ended, None if it has not, and how many bytes were not kept for this."""
        result = await asyncio.shield(self._stream.ended)
        failed = refusal(result, "")
        if failed is not None:
            raise failed
        return command_end(result) if has_ended(result) else None, result.number(wire.Field.DROPPED)


async def feed(stream: Stream, name: str, chunks: AsyncIterator[bytes], patience: float) -> int:
    """Send ``chunks``; how many bytes the session took. Raises as `Channel.session_send`."""
    try:
        async for chunk in chunks:
            async with asyncio.timeout(patience):
                if not await stream.write(chunk):
                    break
        stream.end_input()
        async with asyncio.timeout(patience):
            result = await asyncio.shield(stream.ended)
    except TimeoutError:
        stream.close()
        taken = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ENDING):
                taken = (await asyncio.shield(stream.ended)).number(wire.Field.TAKEN)
        raise errors.StdinStuck(name=name, taken=taken, seconds=patience) from None
    except BaseException:
        stream.close()
        raise
    failed = refusal(result, name, "session")
    if failed is not None:
        raise failed
    return result.number(wire.Field.TAKEN)


def decode(result: wire.Result) -> list[Session]:
    """The records of a SESSIONS result. Raises `errors.ProtocolViolation`."""
    records = result.records(wire.Field.RECORD)
    if len(records) > PLACES:
        raise errors.ProtocolViolation(reason="more sessions than there are places")
    return [_session(record) for record in records]


def _session(record: wire.Result) -> Session:
    arguments = record.value(wire.Field.COMMAND).removesuffix(b"\0").split(b"\0")
    return Session(
        id=printable(record.text(wire.Field.SESSION), 32),
        name=printable(record.text(wire.Field.NAME), 64),
        argv=tuple(printable(each, 2048) for each in arguments),
        cwd=printable(record.text(wire.Field.CWD)),
        user=printable(record.text(wire.Field.USER)),
        tty=wire.Field.TTY in record,
        stdin=wire.Field.STDIN in record,
        pid=record.number(wire.Field.PID),
        started_ns=record.number(wire.Field.STARTED_NS),
        ended_ns=record.number(wire.Field.ENDED_NS),
        end=command_end(record) if has_ended(record) else None,
        stdout_bytes=record.number(wire.Field.LOG_BYTES),
        stderr_bytes=record.number(wire.Field.ERROR_BYTES),
        dropped_bytes=record.number(wire.Field.DROPPED),
    )


def request(id: str) -> bytes:
    return wire.field(wire.Field.SESSION, id)


def kill_request(id: str, signal: int, stop: float) -> bytes:
    limit = wire.field(wire.Field.TIMEOUT_MS, math.ceil(stop * 1000)) if stop else b""
    return request(id) + wire.field(wire.Field.SIGNAL, signal) + limit
