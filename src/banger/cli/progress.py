"""How a change is shown while it runs: a live line on a terminal, plain lines elsewhere, and its notices in both.

Where there is no terminal, steps are told only once a change has taken `QUIET` seconds: a machine that starts at
once says nothing, and a log of something slow shows where it is.
"""

import time

from banger.cli.durations import format_duration
from banger.config.sizes import format_size
from banger.text import printable

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.api.operation import Operation, Progress
    from banger.cli.terminal import Terminal

QUIET = 2.0
BAR = 24


class Display:
    """The changes of one verb on the terminal."""

    def __init__(self, terminal: "Terminal") -> None:
        self._terminal = terminal
        self._began = time.monotonic()
        self._told = ""
        self._notices: dict[str, int] = {}

    def show(self, operation: "Operation") -> None:
        """The change as it is now."""
        known = self._notices.get(operation.id, 0)
        for notice in operation.notices[known:]:
            self._terminal.say(printable(notice))
        self._notices[operation.id] = len(operation.notices)
        if operation.ended:
            return
        line = describe(operation)
        if self._terminal.live:
            seconds = format_duration(time.monotonic() - self._began)
            self._terminal.rewrite(f"{line}{bar(operation.progress)}  {seconds}")
        elif operation.stage and line != self._told and time.monotonic() - self._began >= QUIET:
            self._terminal.say(line)
            self._told = line

    def clear(self) -> None:
        self._terminal.clear()


def describe(operation: "Operation") -> str:
    """``web: downloading layer 2 of 5``."""
    told = operation.stage or operation.step or ("undoing" if operation.state == "undoing" else operation.kind)
    return f"{printable(operation.subject, 63)}: {printable(told, 160)}"


def bar(progress: "Progress | None") -> str:
    """How far a step is, e.g. ``  [######----] 12M of 20M``."""
    if progress is None:
        return ""
    amount = format_size if progress.unit == "bytes" else str
    if not progress.total:
        return f"  {amount(progress.done)}"
    share = min(1.0, max(0.0, progress.done / progress.total))
    filled = round(share * BAR)
    return f"  [{'#' * filled}{'-' * (BAR - filled)}] {amount(progress.done)} of {amount(progress.total)}"
