"""What the commands of a build said: kept in ``builds/NAME.log``, shown as it comes, and quoted when one fails.

The log is bounded, and so are the logs: the oldest go. Its lines are a guest's own words, to be read with that in mind;
whatever is shown has been made printable.
"""

import contextlib
import os
from collections import deque

from banger.engine.change import Report
from banger.log import printable

LOG_LIMIT = 8 << 20
LOGS_KEPT = 50
QUOTED = 12
"""How many of a failed command's last lines are shown."""

LINE_LIMIT = 4096
SHOWN = 100


class Transcript:
    """The log of one build, from the step that is under way."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._step = ""
        self._pending = b""
        self._last: deque[str] = deque(maxlen=QUOTED)

    def begin(self) -> None:
        """An empty log. Raises OSError."""
        directory = os.path.dirname(self.path)
        os.makedirs(directory, mode=0o700, exist_ok=True)
        logs = sorted(os.scandir(directory), key=lambda each: each.stat().st_mtime)
        for old in logs[: max(0, len(logs) - LOGS_KEPT + 1)]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(old.path)
        with open(self.path, "wb"):
            pass

    def step(self, report: Report, text: str) -> None:
        """A new step, said aloud: what comes from now on is its output."""
        self._step, self._pending = text, b""
        self._last.clear()
        self._append(f"\n== {text}\n".encode("utf-8", "replace"))
        report.stage(printable(text, 200))

    def feed(self, report: Report | None, data: bytes) -> None:
        """Output as it comes, in pieces of any length; without ``report`` it is not shown."""
        self._append(data)
        *lines, pending = (self._pending + data).replace(b"\r", b"\n").split(b"\n")
        self._pending = pending[-LINE_LIMIT:]
        for line in lines:
            self._take(report, line)

    def quote(self, report: Report) -> None:
        """Show the last lines of the step, as notices."""
        if self._pending:
            self._take(report, self._pending)
            self._pending = b""
        for line in self._last:
            report.notice(f"| {line}")

    def _take(self, report: Report | None, line: bytes) -> None:
        shown = printable(line[:LINE_LIMIT].strip(), 200)
        if shown:
            self._last.append(shown)
            if report is not None:
                report.stage(f"{printable(self._step, SHOWN)} | {shown[:SHOWN]}")

    def _append(self, data: bytes) -> None:
        """A log that cannot be written must not end a build."""
        with contextlib.suppress(OSError), open(self.path, "ab") as file:
            file.write(data[: max(0, LOG_LIMIT - file.tell())])
