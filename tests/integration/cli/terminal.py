"""A pseudo-terminal with `banger` on it, or a shell that completes its words, for tests of what only happens on one."""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Sequence

from tests.home import Home

PATIENCE = 120.0


class OnTerminal:
    """``banger ARGUMENTS``, or another program, with a terminal of 33 rows and 101 columns as its streams."""

    def __init__(self, home: Home, *arguments: str, program: Sequence[str] = ()) -> None:
        code = "import sys; from banger.cli.main import main; sys.exit(main())"
        env = {**home.env, "TERM": "xterm-256color"}
        argv = [*(program or (sys.executable, "-c", code)), *arguments]
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
                os.chdir(home.directory)
                os.execvpe(argv[0], argv, env)
            finally:
                os._exit(99)
        self.seen = b""
        self._mark = 0

    def type(self, text: str) -> None:
        self._mark = len(self.seen)
        os.write(self.descriptor, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def expect(self, text: str) -> None:
        """Read until ``text`` comes after what was last typed."""
        wanted = text.encode()
        deadline = time.monotonic() + PATIENCE
        while wanted not in self.seen[self._mark :]:
            if not self._read(deadline):
                raise AssertionError(f"{text!r} did not come; seen: {self.seen.decode(errors='replace')}")
        self._mark = self.seen.index(wanted, self._mark) + len(wanted)

    def drain(self) -> None:
        """Read what is there, so that the program does not wait for us."""
        self._read(time.monotonic() + 0.05)

    def _read(self, deadline: float) -> bool:
        if not select.select([self.descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self.descriptor, 1 << 16)
        except OSError:  # the other end is closed
            data = b""
        self.seen += data
        return bool(data)

    def echoes(self) -> bool:
        """Whether the terminal is in its ordinary mode: it shows what is typed, and makes signals of keys."""
        flags = termios.tcgetattr(self.descriptor)[3]
        return bool(flags & termios.ECHO and flags & termios.ISIG and flags & termios.ICANON)

    def end(self) -> int:
        """Read to the end; the exit status."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            pass
        if time.monotonic() > deadline:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            raise AssertionError(f"it did not end; seen: {self.seen.decode(errors='replace')}")
        _, status = os.waitpid(self.pid, 0)
        os.close(self.descriptor)
        return os.waitstatus_to_exitcode(status)
