"""Manual pages as text for man(7): what is ordinary prose here is made so that roff reads it as prose.

Only macros that groff and mandoc both have. A page is the same whenever it is made: it bears no date.
"""

import re
import textwrap
from collections.abc import Iterable, Sequence

SPECIAL = str.maketrans({"\\": r"\e", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"})
TYPED = re.compile(r"'((?:sudo )?banger [^']+)'|(?<![\w-])(--?[a-zA-Z][\w-]*)|`([^`]+)`")
"""What a reader would type, in prose: a command line in quotes, an option, words in backquotes."""
SENTENCE = re.compile(r"(?<=[.:;?])\s+(?=[A-Z'\\])")


def heading(name: str, section: int, source: str) -> list[str]:
    """The first lines of the page ``name``(``section``). Words are neither stretched nor broken: they are copied."""
    return [f'.TH {literal(name.upper())} {section} "" {quoted(source)} "banger manual"', ".nh", ".ad l"]


def section(title: str) -> list[str]:
    return [f".SH {quoted(title)}"]


def prose(text: str) -> list[str]:
    """Paragraphs, which empty lines separate."""
    lines: list[str] = []
    for paragraph in filter(None, (each.strip() for each in text.split("\n\n"))):
        lines += [".PP", *_filled(paragraph)] if lines else _filled(paragraph)
    return lines


def items(rows: Iterable[tuple[str, str]]) -> list[str]:
    """A list of words, which are roff already (`bold`), and what is said of each."""
    return [line for word, text in rows for line in (".TP", word, *_filled(text))]


def code(lines: Sequence[str]) -> list[str]:
    """Lines as they are typed."""
    return [".EX", *(_guarded(literal(each)) for each in lines), ".EE"] if lines else []


def bold(words: str) -> str:
    return rf"\fB{literal(words)}\fP"


def italic(words: str) -> str:
    return rf"\fI{literal(words)}\fP"


def link(name: str, section: int) -> str:
    """Another page, as it is referred to."""
    return rf"{bold(name)}({section})"


def literal(words: str) -> str:
    """Words as they are, with hyphens that can be copied into a shell."""
    return words.translate(SPECIAL).replace("-", r"\-")


def quoted(words: str) -> str:
    """Words as one argument of a macro."""
    return '"' + words.translate(SPECIAL).replace('"', r"\(dq") + '"'


def _filled(text: str) -> list[str]:
    """A paragraph: each sentence begins a line, and none is longer than a terminal is wide."""
    marked, position = "", 0
    flat = " ".join(text.split())
    for found in TYPED.finditer(flat):
        marked += flat[position : found.start()].translate(SPECIAL) + bold(next(filter(None, found.groups())))
        position = found.end()
    marked += flat[position:].translate(SPECIAL)
    lines = []
    for sentence in SENTENCE.split(marked):
        lines += textwrap.wrap(sentence, 78, break_on_hyphens=False, break_long_words=False)
    return [_guarded(line) for line in lines]


def _guarded(line: str) -> str:
    """A line that roff does not take for a request."""
    return rf"\&{line}" if line.startswith((".", "'")) else line
