"""Detached commands: they live in the guest's agent, outlive every attachment, and keep the last of their output."""

import msgspec

from banger.guest import wire
from banger.log import printable


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A detached command. While it runs both ``exit_code`` and ``signal`` are None and ``running`` is true."""

    id: str
    command: str
    started_ns: int
    running: bool
    exit_code: int | None = None
    signal: int | None = None
    timed_out: bool = False
    log_bytes: int = 0


def decode(result: wire.Result) -> list[Session]:
    """The records of a SESSIONS result."""
    return [_session(record) for record in result.records(wire.Field.RECORD)]


def _session(record: wire.Result) -> Session:
    exited, signalled = wire.Field.EXIT in record, wire.Field.SIGNALLED in record
    timed_out = wire.Field.TIMED_OUT in record
    return Session(
        id=printable(record.text(wire.Field.SESSION), 32),
        command=printable(record.text(wire.Field.COMMAND)),
        started_ns=record.number(wire.Field.STARTED_NS),
        running=not (exited or signalled or timed_out),
        exit_code=record.number(wire.Field.EXIT) & 0xFF if exited else None,
        signal=record.number(wire.Field.SIGNALLED) & 0x7F if signalled else None,
        timed_out=timed_out,
        log_bytes=record.number(wire.Field.LOG_BYTES),
    )


def log_request(id: str, follow: bool) -> bytes:
    return wire.field(wire.Field.SESSION, id) + (wire.field(wire.Field.FOLLOW) if follow else b"")


def kill_request(id: str, signal: int) -> bytes:
    return wire.field(wire.Field.SESSION, id) + wire.field(wire.Field.SIGNAL, signal)
