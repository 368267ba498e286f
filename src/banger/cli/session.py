"""A guest command on this process's stdin, stdout and stderr.

The main thread writes what the command says. A second thread, the pump, sends what the command is to hear: stdin,
the terminal's size, signals. Signal handlers only write a byte into the pump's pipe. In raw mode every key goes to
the guest, whose terminal makes signals of them, as with ssh; without, SIGINT, SIGTERM and the like are passed on.
Whatever ends a session, the terminal is given back as it was.
"""

import contextlib
import os
import select
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

from banger.sdk.exec import STDERR, Command

if TYPE_CHECKING:
    from banger.api.vm import ExecVm
    from banger.sdk.client import Client

STDIN_FD, STDOUT_FD, STDERR_FD = 0, 1, 2
PIECE = 64 << 10
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
PATIENCE = 3
"""How many of `PASSED_ON` the guest's command may ignore before the session is given up."""

CAPTURE_LIMIT = 16 << 20
STOP = 0


class Capture:
    """What a command said, for a document: at most `CAPTURE_LIMIT` bytes of each stream."""

    def __init__(self) -> None:
        self.streams = {1: bytearray(), 2: bytearray()}
        self.truncated = False

    def take(self, stream: int, data: bytes) -> None:
        kept = self.streams[STDERR if stream == STDERR else 1]
        room = max(0, CAPTURE_LIMIT - len(kept))
        self.truncated = self.truncated or len(data) > room
        kept += data[:room]

    def text(self, stream: int) -> str:
        """A stream as text; bytes that are not UTF-8 are replaced."""
        return self.streams[stream].decode("utf-8", "replace")


class _Pump(threading.Thread):
    """Sends stdin and events to the command until it is told to stop."""

    def __init__(self, command: Command, stdin: bool) -> None:
        super().__init__(name="pump", daemon=True)  # a blocked stdin must not keep the process alive
        self._command = command
        self._stdin = stdin
        self._events, self._wake = os.pipe2(os.O_CLOEXEC)

    def notify(self, number: int) -> None:
        """Pass a signal on; `STOP` ends the pump. Safe in a signal handler."""
        os.write(self._wake, bytes([number]))

    def run(self) -> None:
        sources = [self._events, *([STDIN_FD] if self._stdin else [])]
        while True:
            ready, _, _ = select.select(sources, [], [])
            if self._events in ready:
                number = os.read(self._events, 1)[0]
                if number == STOP:
                    return
                self._send(number)
            elif not self._forward():
                sources.remove(STDIN_FD)

    def _send(self, number: int) -> None:
        if number == signal.SIGWINCH:
            self._command.resize(*size())
        else:
            self._command.send_signal(number)

    def _forward(self) -> bool:
        try:
            data = os.read(STDIN_FD, PIECE)
        except OSError:  # the terminal is gone, or stdin was closed before we began
            data = b""
        if data:
            self._command.write(data)
        else:
            self._command.close_stdin()
        return bool(data)

    def close(self) -> None:
        self.notify(STOP)
        self.join(1.0)
        if not self.is_alive():
            os.close(self._events)
            os.close(self._wake)


def size() -> tuple[int, int]:
    """Rows and columns of the terminal; what a terminal has when there is none."""
    for descriptor in (STDIN_FD, STDOUT_FD, STDERR_FD):
        with contextlib.suppress(OSError):
            found = os.get_terminal_size(descriptor)
            if found.lines and found.columns:
                return found.lines, found.columns
    return 24, 80


def run(client: "Client", reference: str, request: "ExecVm", capture: Capture | None = None) -> Command:
    """Run a command to its end, on this process's streams or into ``capture``.

    Raises what `Command` does, and KeyboardInterrupt when the command ignored being interrupted.
    """
    raw = request.tty and os.isatty(STDIN_FD)
    with client.vm_exec(reference, request) as command:
        pump = _Pump(command, request.stdin)
        with _signals(pump, raw), _raw_mode() if raw else contextlib.nullcontext():
            pump.start()
            try:
                for stream, data in command:
                    if capture is not None:
                        capture.take(stream, data)
                    else:
                        write_all(STDERR_FD if stream == STDERR else STDOUT_FD, data)
            finally:
                pump.close()
    return command


def status(command: Command) -> int:
    """The exit status that says how a command ended (see `banger.errors`)."""
    if command.timed_out:
        return 124
    if command.signal is not None:
        return 128 + command.signal
    return command.exit_code or 0


def write_all(descriptor: int, data: bytes) -> None:
    """Write it all, also where somebody made the descriptor non-blocking."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


@contextlib.contextmanager
def _signals(pump: _Pump, raw: bool) -> Iterator[None]:
    """Hand signals to the pump for the time of a session."""
    ignored = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal ignored
        if number != signal.SIGWINCH:
            ignored += 1
            if ignored > PATIENCE or raw:
                raise KeyboardInterrupt  # in raw mode keys make no signals: somebody else wants this to end
        pump.notify(number)

    before = {number: signal.signal(number, handle) for number in (*PASSED_ON, signal.SIGWINCH)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _raw_mode() -> Iterator[None]:
    """Let every key through; the terminal is put back whatever happens."""
    import termios
    import tty

    before = termios.tcgetattr(STDIN_FD)
    try:
        tty.setraw(STDIN_FD, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(STDIN_FD, termios.TCSADRAIN, before)
