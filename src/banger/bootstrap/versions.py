"""Versions and ranges of versions, as repositories write them, and the words that mise takes for them.

Pure: text in, a word or None out. No expression here can take more than linear time.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

_NUMBERS = r"[0-9]{1,5}(?:\.[0-9]{1,5}){0,2}"
_GRAMMAR = {
    "go": rf"{_NUMBERS}(?:(?:rc|beta)[0-9]{{1,2}})?",
    "node": rf"{_NUMBERS}|latest|lts|lts-[a-z]{{2,20}}",
    "python": _NUMBERS,
    "rust": rf"{_NUMBERS}|(?:stable|beta|nightly)(?:-[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})?",
    "pnpm": rf"{_NUMBERS}(?:-[a-z]{{1,10}}\.[0-9]{{1,5}})?",
    "yarn": rf"{_NUMBERS}(?:-[a-z]{{1,10}}\.[0-9]{{1,5}})?",
    "bun": _NUMBERS,
}
TOOLS = tuple(_GRAMMAR)
_VERSIONS = {tool: re.compile(grammar, re.ASCII) for tool, grammar in _GRAMMAR.items()}

_NPM = re.compile(r"(\^|~>|~|>=|<=|<|>|=)?v?([0-9]{1,5})((?:\.[0-9]{1,5}){0,2})((?:\.[x*]){0,2})", re.ASCII)
_PEP440 = re.compile(r"(~=|===|==|!=|>=|<=|<|>)([0-9]{1,5})((?:\.[0-9]{1,5}){0,2})(\.\*)?", re.ASCII)

Numbers = tuple[int, ...]


class Range(NamedTuple):
    """From ``lower`` on, and below ``upper``; None is no bound. Tuples compare as versions do."""

    lower: Numbers | None
    upper: Numbers | None


def known(tool: str, version: str) -> bool:
    """Whether this is a version of that tool, and so safe as a word: letters, digits, dots and hyphens."""
    grammar = _VERSIONS.get(tool)
    return grammar is not None and grammar.fullmatch(version) is not None


def of_npm_range(text: str) -> str | None:
    """A series of versions in a range of npm's, of its last alternative that can be read; None where none can."""
    for alternative in reversed(text.split("||")):
        joined = re.sub(r"(>=|<=|~>|[<>=~^])\s+", r"\1", alternative)
        found = _of_ranges([_npm(word) for word in joined.split()], 1)
        if found is not None:
            return found
    return None


def of_python_specifiers(text: str) -> str | None:
    """A series of versions that are in a specifier set (PEP 440); None where it has no lower bound, or is not read."""
    parts = ["".join(each.split()) for each in text.split(",")]
    return _of_ranges([_pep440(each) for each in parts if each and not each.startswith("!=")], 2)


def _npm(word: str) -> Range | None:
    found = _NPM.fullmatch(word)
    if found is None:
        return None
    operator, numbers = found[1] or "=", _numbers(found[2] + found[3])
    if operator == "^":
        return Range(numbers, (numbers[0] + 1,))
    if operator in ("~", "~>"):
        return Range(numbers, _next(numbers[:2]))
    return _compared(operator, numbers)


def _pep440(word: str) -> Range | None:
    found = _PEP440.fullmatch(word)
    if found is None:
        return None
    operator, numbers = found[1], _numbers(found[2] + found[3])
    if operator == "~=":
        return Range(numbers, _next(numbers[:-1])) if len(numbers) > 1 else None
    if operator in ("==", "===", "<=") and not found[4]:
        numbers = _whole(numbers)  # 3.12 is one version there, and no series
    return _compared("=" if operator in ("==", "===") else operator, numbers)


def _compared(operator: str, numbers: Numbers) -> Range | None:
    """What one comparison lets through; None for one that names no series (``>``)."""
    if operator == "=":
        return Range(numbers, _next(numbers))
    if operator == ">=":
        return Range(numbers, None)
    if operator == "<":
        return Range(None, numbers)
    return Range(None, _next(numbers)) if operator == "<=" else None


def _of_ranges(ranges: Iterable[Range | None], digits: int) -> str | None:
    """The widest series in all ranges: of at least ``digits`` numbers, from the series of the lower bound on."""
    lower: Numbers | None = None
    upper: Numbers | None = None
    for each in ranges:
        if each is None:
            return None
        if each.lower is not None:
            lower = max(lower, each.lower) if lower is not None else each.lower
        if each.upper is not None:
            upper = min(upper, each.upper) if upper is not None else each.upper
    if lower is None:
        return None
    for count in range(min(digits, len(lower)), 4):
        series = _whole(lower)[:count]
        if upper is None or _next(series) <= upper:
            return ".".join(map(str, series))
    return None


def _numbers(text: str) -> Numbers:
    return tuple(map(int, text.split(".")))


def _whole(numbers: Numbers) -> Numbers:
    return (*numbers, 0, 0)[:3]


def _next(numbers: Numbers) -> Numbers:
    """The first version that is not in the series of these."""
    return (*numbers[:-1], numbers[-1] + 1)
