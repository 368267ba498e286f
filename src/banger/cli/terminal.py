"""Where a verb writes: results on stdout, progress and prose on stderr, colour only where somebody sees it.

Strings from guests, images and the daemon go through `banger.text.printable` before they get here.
"""

import os
import sys

import banger
from banger import document
from banger.text import printable

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from _typeshed import SupportsWrite

CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
CLEAR_LINE = "\r\x1b[K"


def coloured(descriptor: int) -> bool:
    """Whether colour is wanted on a descriptor (no-color.org)."""
    return os.isatty(descriptor) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Terminal:
    """Stdout and stderr of this process."""

    def __init__(self) -> None:
        self.live = os.isatty(2) and os.environ.get("TERM") != "dumb"
        """Whether a line on stderr can be rewritten."""
        self._colours = {1: coloured(1), 2: coloured(2)}
        self._line = ""

    def paint(self, text: str, style: str, descriptor: int = 1) -> str:
        """``text`` in a style of `CODES`, where ``descriptor`` shows colour."""
        return f"\x1b[{CODES[style]}m{text}\x1b[0m" if style and self._colours[descriptor] else text

    def print(self, text: str) -> None:
        """A line of the result."""
        self._write(sys.stdout, text + "\n")

    def say(self, text: str, style: str = "") -> None:
        """A line of prose."""
        self.clear()
        self._write(sys.stderr, self.paint(text, style, 2) + "\n")

    def rewrite(self, text: str) -> None:
        """Show a line that the next one replaces; nothing where that cannot be done."""
        if self.live and text != self._line:
            width = max(20, columns() - 1)
            self._write(sys.stderr, CLEAR_LINE + text[:width])
            self._line = text

    def clear(self) -> None:
        """Take back the line that `rewrite` showed."""
        if self._line:
            self._write(sys.stderr, CLEAR_LINE)
            self._line = ""

    def document(self, value: object) -> None:
        """The one JSON document of a verb, of plain data."""
        self.print(document.shown(value))

    def ask(self, question: str) -> None:
        """A question; the answer is on stdin."""
        self.clear()
        self._write(sys.stderr, question)

    def rewind(self, lines: int) -> None:
        """Take back the last lines of the result, where it goes to a terminal."""
        if lines and os.isatty(1) and os.environ.get("TERM") != "dumb":
            self._write(sys.stdout, f"\x1b[{lines}F\x1b[J")

    def table(
        self, rows: "Sequence[Mapping[str, object]]", columns: "Sequence[tuple[str, str]]", *, stderr: bool = False
    ) -> None:
        """Rows below a heading; ``columns`` are keys and their titles. Cells are made printable.

        On stderr it is no result, but what a question is about.
        """
        known: dict[str, str] = {}  # most words of a long list are those of the line before
        shown = [[title, *(_known_cell(row.get(key), known) for row in rows)] for key, title in columns]
        padded = [[word.ljust(width) for word in column] for column in shown for width in (max(map(len, column)),)]
        heading, *lines = ["  ".join(words).rstrip() for words in zip(*padded, strict=True)]
        text = "\n".join([self.paint(heading, "bold", 2 if stderr else 1), *lines])  # at once: a long list is one write
        self._write(sys.stderr if stderr else sys.stdout, text + "\n")

    def facts(self, pairs: "Sequence[tuple[str, object]]") -> None:
        """Two columns: what, and its value. Pairs without a value are left out."""
        shown = [(name, cell(value)) for name, value in pairs if value is not None and value != ""]
        width = max((len(name) for name, _ in shown), default=0)
        for name, value in shown:
            self.print(f"{self.paint(name.ljust(width), 'bold')}  {value}")

    def flush(self) -> None:
        """Write what is buffered of the result. Raises as `print`."""
        self._write(sys.stdout, "")

    @staticmethod
    def _write(stream: "SupportsWrite[str]", text: str) -> None:
        """Raises for a result that cannot be written; prose that cannot is lost."""
        try:
            stream.write(text)
            getattr(stream, "flush")()  # noqa: B009 - both are text files; a line is out before a guest writes
        except BrokenPipeError:
            raise
        except OSError as error:
            if stream is not sys.stderr:
                raise banger.errors.from_os(error, "standard output") from None


def cell(value: object) -> str:
    return "-" if value is None or value == "" else printable(str(value), 200)


def _known_cell(value: object, known: dict[str, str]) -> str:
    text = str(value) if value is not None else ""
    found = known.get(text)
    if found is None:
        found = known[text] = cell(text)
    return found


def columns() -> int:
    """Width of the terminal behind stderr."""
    try:
        return os.get_terminal_size(2).columns or 80
    except OSError:
        return 80
