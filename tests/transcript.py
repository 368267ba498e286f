"""Transcripts in documents, run as they stand.

In a ``console`` block a line after ``$ `` is a command for the shell, which goes on in the lines after ``> ``. Those
that follow are what it prints, where ``...`` stands for anything: alone for any number of lines, inside a line for any
text. Commands run in one shell after another, in one directory; what they print is stdout.
"""

import re
from pathlib import Path
from typing import NamedTuple

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Step(NamedTuple):
    """A command and what is expected of its output."""

    command: str
    expected: str

    def matches(self, output: str) -> bool:
        """Whether ``output`` is what the transcript shows."""
        lines = self.expected.splitlines()
        pattern = "".join("(?:.*\n)*?" if line == "..." else _line(line) for line in lines)
        return re.fullmatch(pattern, output if output.endswith("\n") or not output else output + "\n") is not None


def _line(line: str) -> str:
    return ".*".join(re.escape(part) for part in line.rstrip().split("...")) + "[ ]*\n"


def steps(document: Path) -> list[Step]:
    """Every step of a document, in order."""
    found: list[Step] = []
    for block in BLOCK.findall(document.read_text()):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            first, *lines = part.splitlines(keepends=True)
            typed = [first.partition("  #")[0].rstrip()]
            while lines and lines[0].startswith(">"):
                typed.append(lines.pop(0).removeprefix(">").removeprefix(" ").rstrip("\n"))
            found.append(Step("\n".join(typed), "".join(lines)))
    return found
