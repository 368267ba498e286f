"""A command that runs in the guest, seen from the host."""

import asyncio
import math
import struct
from collections.abc import AsyncIterator, Callable

import msgspec

from banger import errors
from banger.guest import wire
from banger.guest.stream import Stream, refusal


class ExecSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What to run and how. ``env`` is the whole environment but for HOME, USER, LOGNAME, SHELL, PATH and TERM,

    which the agent fills in where they are missing. ``user`` is a name, a uid, or either with ``:group``.
    """

    argv: tuple[str, ...]
    env: dict[str, str] = {}
    cwd: str | None = None
    user: str | None = None
    tty: tuple[int, int] | None = None
    timeout: float | None = None
    stdin: bool = False

    def encode(self) -> bytes:
        """The fields of the request. Raises `errors.UsageError` for what no exec can mean."""
        if not self.argv or not self.argv[0]:
            raise errors.UsageError(detail="there is no command to run")
        parts = [wire.field(wire.Field.ARG, each) for each in self.argv]
        parts += [wire.field(wire.Field.ENV, f"{name}={value}") for name, value in self.env.items()]
        if self.cwd:
            parts.append(wire.field(wire.Field.CWD, self.cwd))
        if self.user:
            parts.append(wire.field(wire.Field.USER, self.user))
        if self.tty:
            parts.append(wire.field(wire.Field.TTY, struct.pack("<HH", *within(*self.tty))))
        if self.timeout is not None:
            parts.append(wire.field(wire.Field.TIMEOUT_MS, max(1, math.ceil(self.timeout * 1000))))
        if self.stdin:
            parts.append(wire.field(wire.Field.STDIN))
        request = b"".join(parts)
        if any("\0" in each for each in (*self.argv, *self.env, *self.env.values())):
            raise errors.UsageError(detail="an argument or variable contains a NUL character")
        return request


class CommandEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a command ended: one of an exit code, a signal, or the time limit."""

    exit_code: int | None = None
    signal: int | None = None
    timed_out: bool = False


class GuestCommand:
    """A running command. Drop it with `kill`, or read it to its end."""

    def __init__(self, stream: Stream, tty: bool) -> None:
        self._stream = stream
        self._tty = tty

    async def write(self, data: bytes | bytearray | memoryview) -> bool:
        """Send to its stdin; False when it has ended and nobody will read the rest."""
        return await self._stream.write(data)

    async def close_stdin(self) -> None:
        self._stream.end_input()
        await self._stream.flushed()

    async def resize(self, rows: int, cols: int) -> None:
        if self._tty:
            self._stream.control(wire.field(wire.Field.TTY, struct.pack("<HH", *within(rows, cols))))

    async def signal(self, number: int) -> None:
        """Signal its process group; with a terminal, the group in its foreground."""
        self._stream.control(wire.field(wire.Field.SIGNAL, number))

    async def kill(self) -> None:
        """Hang up: its process group gets SIGHUP and SIGTERM, and SIGKILL when that does not help."""
        self._stream.close()

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """What it writes, as (1, stdout) and (2, stderr); a terminal has only the first."""
        return self._stream.output()

    def when_ended(self, act: Callable[[], None]) -> None:
        """Have ``act`` called when it has ended, or when the guest itself is gone."""
        self._stream.ended.add_done_callback(lambda _: act())

    async def wait(self) -> CommandEnd:
        """How it ended. Its output must be consumed too, or a command that writes much never ends."""
        result = await asyncio.shield(self._stream.ended)
        failed = refusal(result, "")
        if failed is not None:
            raise failed
        return command_end(result)


def has_ended(result: wire.Result) -> bool:
    """Whether a result tells how a command ended."""
    return any(tag in result for tag in (wire.Field.EXIT, wire.Field.SIGNALLED, wire.Field.TIMED_OUT))


def command_end(result: wire.Result) -> CommandEnd:
    """How a command ended, as a result tells it. Raises `errors.ProtocolViolation` where it does not."""
    if wire.Field.TIMED_OUT in result:
        return CommandEnd(timed_out=True)
    if wire.Field.SIGNALLED in result:
        return CommandEnd(signal=result.number(wire.Field.SIGNALLED) & 0x7F)
    if wire.Field.EXIT in result:
        return CommandEnd(exit_code=result.number(wire.Field.EXIT) & 0xFF)
    raise errors.ProtocolViolation(reason="a command that ended in no way")


def within(rows: int, cols: int) -> tuple[int, int]:
    """A terminal's size as the protocol can say it."""
    return min(max(rows, 0), 0xFFFF), min(max(cols, 0), 0xFFFF)
