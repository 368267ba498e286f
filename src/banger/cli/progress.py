"""How a change is shown while it runs: a live line on a terminal, plain lines elsewhere, and its notices in both.

Where there is no terminal, steps are told only once a change has taken `QUIET` seconds: a machine that starts at
once says nothing, and a log of something slow shows where it is.
"""

import time

from banger.text import printable

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from typing import Any

    from banger.cli.terminal import Terminal
    from banger.sdk.change import Change

QUIET = 2.0
BAR = 24


class Display:
    """The changes of one verb on the terminal."""

    def __init__(self, terminal: "Terminal") -> None:
        self._terminal = terminal
        self._began = time.monotonic()
        self._told = ""
        self._notices: dict[str, int] = {}

    def show(self, change: "Change") -> None:
        """The change as it is now."""
        known = self._notices.get(change.id, 0)
        for notice in change.notices[known:]:
            self._terminal.say(printable(notice))
        self._notices[change.id] = len(change.notices)
        if change.ended:
            return
        line = describe(change)
        if self._terminal.live:
            from banger.cli.durations import format_duration

            seconds = format_duration(time.monotonic() - self._began)
            self._terminal.rewrite(f"{line}{bar(change.progress)}  {seconds}")
        elif change.stage and line != self._told and time.monotonic() - self._began >= QUIET:
            self._terminal.say(line)
            self._told = line

    def clear(self) -> None:
        self._terminal.clear()


def describe(change: "Change") -> str:
    """``web: downloading layer 2 of 5``."""
    told = change.stage or change.step or ("undoing" if change.state == "undoing" else change.kind)
    return f"{printable(change.subject, 63)}: {printable(told, 160)}"


def bar(progress: "dict[str, Any] | None") -> str:
    """How far a step is, e.g. ``  [######----] 12M of 20M``."""
    if progress is None:
        return ""
    from banger.config.sizes import format_size

    amount = format_size if progress["unit"] == "bytes" else str
    done, total = progress["done"], progress.get("total")
    if not total:
        return f"  {amount(done)}"
    filled = round(min(1.0, max(0.0, done / total)) * BAR)
    return f"  [{'#' * filled}{'-' * (BAR - filled)}] {amount(done)} of {amount(total)}"
