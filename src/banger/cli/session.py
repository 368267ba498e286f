"""A guest command, or an attachment to a session, on this process's stdin, stdout and stderr.

The main thread writes what the command says. A second thread, the pump, sends what the command is to hear: stdin,
the terminal's size, signals. Signal handlers only write a byte into the pump's pipe. In raw mode every key goes to
the guest, whose terminal makes signals of them, as with ssh; without, SIGINT, SIGTERM and the like are passed on.
Whatever ends it, the terminal is given back as it was.
"""

import _thread
import os
import select

import banger
from banger.sdk.exec import STDERR, Command

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from types import FrameType

    from banger.sdk.client import Client
else:
    import _signal as signal  # the part in C: the other makes enumerations of it, at the price of a verb's own work

STDIN_FD, STDOUT_FD, STDERR_FD = 0, 1, 2
PIECE = 64 << 10
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
PATIENCE = 3
"""How many of `PASSED_ON` the guest's command may ignore before it is given up."""

DETACH = b"\x10\x11"
"""Ctrl-P Ctrl-Q, which leave a session running."""

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


class DetachKeys:
    """Finds `DETACH` among what is typed. Its first key waits for the next one, wherever it is typed."""

    def __init__(self) -> None:
        self._held = b""
        self.typed = False

    def feed(self, data: bytes) -> bytes:
        """What of ``data`` is for the session; nothing more comes after an empty one."""
        final = not data
        data = self._held + data
        end = data.find(DETACH)
        if end >= 0:
            self.typed, self._held = True, b""
            return data[:end]
        self._held = data[-1:] if data.endswith(DETACH[:1]) and not final else b""
        return data[: len(data) - len(self._held)]


class _Pump:
    """Sends stdin and events to the command until it is told to stop. Its thread is there once something is to be sent.

    The thread keeps no process alive: it may be blocked on stdin when the command has ended. With ``keys`` it hangs up
    when they are typed.
    """

    def __init__(self, command: Command, stdin: bool, keys: DetachKeys | None = None) -> None:
        self._command = command
        self.reads_stdin = stdin
        self._keys = keys
        self._events, self._wake = os.pipe2(os.O_CLOEXEC)
        self._started = False
        self._closed = False
        self._ended = _thread.allocate_lock()

    def start(self) -> None:
        self._started = True
        self._ended.acquire()
        _thread.start_new_thread(self._run, ())

    def notify(self, number: int) -> None:
        """Pass a signal on. Safe in a signal handler."""
        if self._closed:
            return
        os.write(self._wake, bytes((number,)))
        if not self._started:
            self.start()

    def _run(self) -> None:
        try:
            self._serve()
        finally:
            self._ended.release()

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._events, select.POLLIN)
        if self.reads_stdin:
            poll.register(STDIN_FD, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._events in ready:
                number = os.read(self._events, 1)[0]
                if number == STOP:
                    return
                self._send(number)
            elif not self._forward():
                poll.unregister(STDIN_FD)

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
        wanted = self._keys.feed(data) if self._keys else data
        if wanted:
            self._command.write(wanted)
        if not data:
            self._command.close_stdin()
        if self._keys and self._keys.typed:
            self._command.hang_up()
        return bool(data)

    def close(self) -> None:
        self._closed = True
        if self._started:
            os.write(self._wake, bytes((STOP,)))
            if not self._ended.acquire(timeout=1.0):
                return
        os.close(self._events)
        os.close(self._wake)


def size() -> tuple[int, int]:
    """Rows and columns of the terminal; what a terminal has when there is none."""
    for descriptor in (STDIN_FD, STDOUT_FD, STDERR_FD):
        try:
            found = os.get_terminal_size(descriptor)
        except OSError:
            continue  # no terminal
        if found.lines and found.columns:
            return found.lines, found.columns
    return 24, 80


def run(
    client: "Client",
    reference: str,
    request: "dict[str, object]",
    capture: Capture | None = None,
    begun: "Callable[[Command], None] | None" = None,
) -> Command:
    """Run a command, asked for in the terms of `banger.api.vm.ExecVm`, on this process's streams or into ``capture``.

    ``begun`` is called before its first output.

    Raises what `Command` does, and KeyboardInterrupt when the command ignored being interrupted.
    """
    raw = bool(request["tty"]) and os.isatty(STDIN_FD)
    with client.vm_exec(reference, request) as command:
        if begun is not None:
            begun(command)
        pump = _Pump(command, bool(request["stdin"]))
        _carry(command, pump, raw, _Signals(pump, raw), capture)
    return command


def attach(command: Command, *, stdin: bool, raw: bool) -> bool:
    """Carry an attachment to a session; whether it was left by `DETACH`. A signal to this process leaves it too.

    Raises what `Command` does, and KeyboardInterrupt for a signal.
    """
    keys = DetachKeys() if raw else None
    with command:
        pump = _Pump(command, stdin, keys)
        try:
            _carry(command, pump, raw, _Signals(pump, True), None)
        except banger.errors.BangerError:
            if not (keys and keys.typed):
                raise
    return bool(keys and keys.typed)


def _carry(command: Command, pump: _Pump, raw: bool, signals: "_Signals", capture: Capture | None) -> None:
    with signals, _RawMode(raw):
        if pump.reads_stdin:
            pump.start()
        try:
            for stream, data in command:
                if capture is not None:
                    capture.take(stream, data)
                else:
                    write_all(STDERR_FD if stream == STDERR else STDOUT_FD, data)
        finally:
            pump.close()


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


class _Signals:
    """Hands signals to the pump for as long as a command is carried."""

    def __init__(self, pump: _Pump, raw: bool) -> None:
        self._pump = pump
        self._raw = raw
        self._ignored = 0

    def __enter__(self) -> None:
        self._before = {number: signal.signal(number, self._handle) for number in (*PASSED_ON, signal.SIGWINCH)}

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: "FrameType | None") -> None:
        if number != signal.SIGWINCH:
            self._ignored += 1
            if self._ignored > PATIENCE or self._raw:
                raise KeyboardInterrupt  # in raw mode keys make no signals: somebody else wants this to end
        self._pump.notify(number)


class _RawMode:
    """Lets every key through, where that is wanted; the terminal is put back whatever happens."""

    def __init__(self, raw: bool) -> None:
        self._raw = raw

    def __enter__(self) -> None:
        if self._raw:
            import termios
            import tty

            self._before = termios.tcgetattr(STDIN_FD)
            tty.setraw(STDIN_FD, termios.TCSADRAIN)

    def __exit__(self, *exc: object) -> None:
        if self._raw:
            import termios

            termios.tcsetattr(STDIN_FD, termios.TCSADRAIN, self._before)
