"""Commands in a machine: the client's end of the exec stream, and of an attachment to a session.

The stream is a WebSocket over the daemon's socket. The first message is an `ExecVm`, or an `AttachSession`; after it
binary messages are stdin (to the guest) and output (from the guest, its first byte says which), text messages are
`ExecInput` and `ExecEvent`. Nothing is kept here beyond a few messages, so a command may say as much as it likes.

A stream on which nothing but an `ExecVm` was sent serves the next command too. Of any other nobody knows whether the
daemon has taken all input of the command before it ended.

Works on plain data: the command line must be there before msgspec would be loaded. Who has an `ExecVm` may give it.
"""

import _thread

import banger
from banger import document
from banger.api import routes
from banger.sdk.transport import Transport, encoded, target, told
from banger.sdk.websocket import Closed, WebSocket

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Self

    from banger.api.routes import Route
    from banger.api.session import AttachSession
    from banger.api.vm import ExecVm
    from banger.sdk.transport import Reference

STDOUT = 1
STDERR = 2

PIECE = 64 << 10
"""Most bytes of stdin that one message carries."""


class Output(tuple[int, bytes]):
    """Bytes that the command wrote, and the number of the stream: 1 for stdout and 2 for stderr."""

    __slots__ = ()

    @property
    def stream(self) -> int:
        return self[0]

    @property
    def data(self) -> bytes:
        return self[1]


class Command:
    """A command in a machine, from its start to its end.

    Iterate over it for its output. `exit_code`, `signal` and `timed_out` are None or False until it has ended.
    `write`, `close_stdin`, `resize` and `send_signal` may be called from another thread than the one that
    iterates. Leaving the context, or `close`, ends the command; of a session it ends the attachment.

    Raises `errors.CommandNotFound`, `errors.CommandNotExecutable`, `errors.AgentLost`, `errors.WrongState`,
    `errors.NotFound`.
    """

    def __init__(
        self,
        transport: Transport,
        ref: "Reference",
        request: "ExecVm | AttachSession | dict[str, object]",
        route: "Route" = routes.VM_EXEC,
    ) -> None:
        self._ref = ref if isinstance(ref, str) else ref[0]
        self.exit_code: int | None = None
        """The command's exit status, 0 to 255; None when a signal or the time limit ended it."""
        self.signal: int | None = None
        """The signal that ended it."""
        self.timed_out = False
        self.workspace: dict[str, Any] | None = None
        """The machine's workspace (`banger.api.workspace.Workspace`), where the command runs in it."""
        self.ended = False
        self._told = False
        """Whether the daemon has told how it ended: not so where it failed, or the stream did."""
        self._transport = transport
        self._speaking = _thread.RLock()  # a handler of a signal may speak in the middle of anything
        self._persistent = route is routes.VM_EXEC and not _is_fed(request)
        """Whether nothing but the request was sent, on a stream that may stay."""
        self._left = False
        """Whether the stream is closed, or another command's by now."""
        there = target(route, ref, {"persistent": "true"} if self._persistent else None)
        self._websocket = (self._persistent and transport.idle_stream(there)) or WebSocket(transport, there)
        try:
            self._websocket.send(encoded(request))
            if self._next() is not None:
                raise banger.errors.ProtocolViolation(reason="output before the start")
        except BaseException:
            self.close()
            raise

    def _next(self) -> Output | None:
        """The next output; None after an event, which has been taken."""
        try:
            message = self._websocket.receive()
            if isinstance(message, str):
                self._take(_event(message))
            elif message:
                return Output((message[0], message[1:]))
        except Closed as closed:
            self.ended = True
            reason = closed.reason or "the daemon closed the stream"
            raise banger.errors.AgentLost(reason=reason, name=self._ref) from closed
        except (ValueError, TypeError, KeyError) as error:
            self.ended = True
            raise banger.errors.InternalError(detail=f"the daemon's message is not understood: {error}") from error
        except banger.errors.BangerError:
            self.ended = True
            raise
        return None

    def _take(self, event: "dict[str, Any]") -> None:
        if event["kind"] == "failed":
            self.ended = True
            if event.get("error") is None:
                raise banger.errors.InternalError(detail="the daemon gave no reason")
            raise told(event["error"])
        if event["kind"] == "started":
            self.workspace = event.get("workspace")
        if event["kind"] == "ended":
            self.ended = self._told = True
            self.exit_code, self.signal = event.get("exit_code"), event.get("signal")
            self.timed_out = event.get("timed_out") or False

    def __iter__(self) -> "Iterator[Output]":
        """The output as it comes, until the command has ended."""
        while not self.ended:
            output = self._next()
            if output is not None:
                yield output

    def wait(self) -> None:
        """Wait for the end; what the command still says is dropped."""
        for _ in self:
            pass

    # -- to the command ----------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send to the command's stdin; waits while the command does not read. Nothing happens after its end."""
        for start in range(0, len(data), PIECE):
            self._send(data[start : start + PIECE])

    def close_stdin(self) -> None:
        """Let the command see the end of its stdin."""
        self._control(kind="eof")

    def resize(self, rows: int, cols: int) -> None:
        """Tell the command's terminal its size."""
        self._control(kind="resize", rows=rows, cols=cols)

    def send_signal(self, number: int) -> None:
        """Send a signal to the command's process group."""
        self._control(kind="signal", number=number)

    def kill(self) -> None:
        """End the command and all that it started, at once."""
        self._control(kind="kill")

    def _control(self, **fields: object) -> None:
        self._send(document.dumps(fields))

    def _send(self, message: bytes | str) -> None:
        with self._speaking:
            self._persistent = False
            if self._left:
                return
        try:
            self._websocket.send(message)
        except banger.errors.DaemonUnreachable:
            pass  # its end is told to whoever iterates

    def hang_up(self) -> None:
        """Make whoever iterates see the end of the stream, from another thread."""
        with self._speaking:
            if not self._left:
                self._websocket.shut()

    def close(self) -> None:
        """Let go of the stream; a command that still runs is ended, a session goes on."""
        with self._speaking:
            left, self._left = self._left, True
        if left:
            return
        if self._persistent and self._told:
            self._websocket.rest()
            self._transport.keep_stream(self._websocket)
        else:
            self._websocket.close()

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _is_fed(request: "ExecVm | AttachSession | dict[str, object]") -> bool:
    """Whether a request is one for a command that gets input."""
    facts = request if isinstance(request, dict) else {name: getattr(request, name) for name in ("stdin", "tty")}
    return bool(facts.get("stdin") or facts.get("tty"))


_EVENT: "document.Kind" = {
    "kind": str,
    "exit_code": (int, None),
    "signal": (int, None),
    "timed_out": (bool, None),
    "workspace": (dict, None),
    "error": (dict, None),
}


def _event(text: str) -> "dict[str, Any]":
    """An `ExecEvent` as plain data. Raises ValueError for what is none."""
    event: dict[str, Any] = document.loads(text)
    if not document.fits(event, _EVENT) or event["kind"] not in ("started", "ended", "failed"):
        raise ValueError("it is no event of a command")
    return event
