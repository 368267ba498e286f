"""Sessions: commands in a machine that belong to no client."""

from typing import Literal

import msgspec

from banger.api.operation import ErrorBody
from banger.api.vm import ExecVm

SessionState = Literal["running", "exited", "killed"]
StreamName = Literal["stdout", "stderr"]


class StartSession(ExecVm, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Start a command that outlives its client. With ``stdin`` its stdin stays open until it is told to end."""

    name: str | None = None
    """Of the grammar of machines' names. One session that runs has it; one that has ended loses it to the next."""


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A session, as the machine's agent tells of it. Texts come from the guest and have been made printable."""

    id: str
    name: str | None = None
    vm: str
    """The machine's name."""
    state: SessionState
    """``killed``: a signal or the time limit has ended it."""
    exit_code: int | None = None
    signal: int | None = None
    timed_out: bool = False
    pid: int
    """In the machine."""
    argv: list[str]
    """The first 255 bytes of them in a list, else the first 2 KiB."""
    cwd: str | None = None
    """What it was started with; not told in a list."""
    user: str | None = None
    """Likewise."""
    tty: bool = False
    stdin: bool = False
    """Whether its stdin is open."""
    started: float
    """By the machine's clock."""
    ended: float | None = None
    stdout_bytes: int = 0
    """All that it wrote there; of a session with a terminal, all."""
    stderr_bytes: int = 0
    dropped_bytes: int = 0
    """How much of both the log does not hold any more: it keeps the last 1 MiB of both together."""


class SessionList(msgspec.Struct, frozen=True, kw_only=True):
    """The sessions of a machine since its start, oldest first: those that run, and of the ended as many as the places

    allow, which are 64. The first to go are those whose end somebody has been told, by age, then the others, by age.
    """

    sessions: list[SessionInfo]


class SessionLog(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of what a session said, in the order in which it was said."""

    stream: StreamName | None = None
    data: bytes = b""
    """In JSON as base64."""
    dropped: int = 0
    """How many bytes were asked for and are not kept any more; told in the last piece."""
    error: ErrorBody | None = None
    """What has ended it before the session's end: the last piece."""


class SessionWait(msgspec.Struct, frozen=True, kw_only=True):
    """A session as it is, and another one as it has ended; or what has come between."""

    session: SessionInfo | None = None
    error: ErrorBody | None = None


class AttachSession(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first message of an attachment's stream."""

    stdin: bool = False
    """Feed the session. One attachment at a time may; any number may read."""
    tail: int | None = 0
    """From how many of the last lines on; None for all that is kept."""
    rows: int = 0
    cols: int = 0
    """Of the client's terminal, with ``stdin``; the session's terminal becomes as large, and is drawn again."""


class SentToSession(msgspec.Struct, frozen=True, kw_only=True):
    """What became of what was sent to a session's stdin: all of it went in."""

    taken: int
    """Bytes."""


class StopSession(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    timeout: float = 10.0
    """How long it may take to end after SIGTERM before it is killed, in seconds."""


class KillSession(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    signal: int = 9
