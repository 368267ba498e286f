"""Names as git writes them where a line holds them: plain, or in double quotes with C's escapes.

Git quotes a name with a quote, a backslash or a control character, and one that is not ASCII as well unless
``core.quotePath`` is false. Either way there is one spelling, so a name that was read can be compared with its line.
"""

import re

_WORD = re.compile(rb'"((?:[^"\\\x00-\x1f\x7f]|\\(?:[abtnvfr"\\]|[0-3][0-7]{2}))*)"')
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2}|.)")
_LETTERS = {b"a": 7, b"b": 8, b"t": 9, b"n": 10, b"v": 11, b"f": 12, b"r": 13, b'"': 34, b"\\": 92}
_SPELT = {value: b"\\" + letter for letter, value in _LETTERS.items()}


def quoted(name: bytes, *, ascii_only: bool) -> bytes:
    """A name as git writes it, with ``core.quotePath`` (``ascii_only``) or without."""
    if not any(_special(each, ascii_only) for each in name):
        return name
    parts = [_spelling(each) if _special(each, ascii_only) else bytes((each,)) for each in name]
    return b'"' + b"".join(parts) + b'"'


def _special(byte: int, ascii_only: bool) -> bool:
    return byte < 0x20 or byte in (0x22, 0x5C, 0x7F) or (ascii_only and byte >= 0x80)


def _spelling(byte: int) -> bytes:
    return _SPELT.get(byte) or b"\\%03o" % byte


def spellings(name: bytes) -> tuple[bytes, bytes]:
    """How git may write a name, as it does by default first."""
    return quoted(name, ascii_only=True), quoted(name, ascii_only=False)


def split(line: bytes) -> tuple[bytes, bytes] | None:
    """The name at the beginning of a line in quotes, and what follows it; None where there is none."""
    found = _WORD.match(line)
    if found is None:
        return None
    return _ESCAPE.sub(_plain, found[1]), line[found.end() :]


def unquoted(word: bytes) -> bytes | None:
    """The name that a whole word stands for; None for what git does not write."""
    if not word.startswith(b'"'):
        return None if any(_special(each, False) for each in word) else word
    found = split(word)
    return found[0] if found is not None and not found[1] else None


def _plain(found: "re.Match[bytes]") -> bytes:
    escape = found[1]
    return bytes((_LETTERS[escape] if escape in _LETTERS else int(escape, 8),))
