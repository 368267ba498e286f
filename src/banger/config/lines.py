"""On which line of a TOML document each of its keys stands, which the parser of the standard library does not tell.

A scanner for text that `tomllib` has taken: it follows the grammar of keys, strings, arrays and tables (toml.io/v1.0.0)
and looks at nothing else. What it finds in anything but TOML means nothing, but it always ends.
"""

import tomllib

Key = tuple[str | int, ...]
"""Names of tables and keys from the outermost inwards; a number is a place in an array."""

_BLANK = " \t"


def find(text: str) -> dict[Key, int]:
    """The line, from 1, on which each key, table and value of an array is first written."""
    scanner = _Scanner(text.replace("\r\n", "\n"))
    try:
        scanner.document()
    except (IndexError, ValueError, RecursionError):
        pass  # not TOML, or deeper than anybody writes: what was found stands
    return scanner.found


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line, self._counted = 1, 0
        self._last: dict[Key, int] = {}
        """Of each array of tables, the number of its last."""
        self.found: dict[Key, int] = {}

    def document(self) -> None:
        table: Key = ()
        while self._skip(" \t\n"):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _here(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _skip(self, blank: str) -> bool:
        """Go past blanks, and comments where lines may end; whether there is more."""
        text, end = self._text, len(self._text)
        while self._at < end:
            if text[self._at] in blank:
                self._at += 1
            elif text[self._at] == "#" and "\n" in blank:
                found = text.find("\n", self._at)
                self._at = end if found < 0 else found
            else:
                return True
        return False

    def _header(self) -> Key:
        line, several = self._here(), self._text.startswith("[[", self._at)
        self._at += 1 + several
        *above, last = self._key()
        self._at += 1 + several
        place: Key = ()
        for name in above:
            place = (*place, name)
            self.found.setdefault(place, line)
            if place in self._last:
                place = (*place, self._last[place])
        place = (*place, last)
        self.found.setdefault(place, line)
        if several:
            number = self._last[place] = self._last.get(place, -1) + 1
            place = (*place, number)
            self.found[place] = line
        return place

    def _pair(self, table: Key) -> None:
        line = self._here()
        place = table
        for name in self._key():
            place = (*place, name)
            self.found.setdefault(place, line)
        self._at += 1  # the equals sign
        self._value(place)

    def _key(self) -> list[str]:
        """The names of a dotted key; what follows it is next."""
        names = []
        while True:
            self._skip(_BLANK)
            start = self._at
            if self._text[start] in "\"'":
                self._string()
                names.append(tomllib.loads(f"k = {self._text[start : self._at]}")["k"])
            else:
                while self._text[self._at] not in " \t.=]":
                    self._at += 1
                names.append(self._text[start : self._at])
            self._skip(_BLANK)
            if self._text[self._at] != ".":
                return names
            self._at += 1

    def _value(self, place: Key) -> None:
        self._skip(_BLANK)
        first = self._text[self._at]
        if first in "\"'":
            self._string()
        elif first == "[":
            self._array(place)
        elif first == "{":
            self._inline(place)
        elif first in ",]}#\n":
            raise ValueError
        else:
            while self._at < len(self._text) and self._text[self._at] not in ",]}#\n":
                self._at += 1

    def _array(self, place: Key) -> None:
        self._at += 1
        number = 0
        while self._skip(" \t\n,") and self._text[self._at] != "]":
            self.found.setdefault((*place, number), self._here())
            self._value((*place, number))
            number += 1
        self._at += 1

    def _inline(self, place: Key) -> None:
        self.found.setdefault(place, self._here())
        self._at += 1
        while self._skip(" \t\n,") and self._text[self._at] != "}":
            self._pair(place)
        self._at += 1

    def _string(self) -> None:
        """Go past a string of any of the four kinds."""
        text, quote = self._text, self._text[self._at]
        end = quote * 3 if text.startswith(quote * 3, self._at) else quote
        self._at += len(end)
        while not text.startswith(end, self._at):
            if self._at >= len(text):
                raise ValueError
            self._at += 2 if text[self._at] == "\\" and quote == '"' else 1
        self._at += len(end)
        extra = 0  # a string in three quotes may itself end in one or two
        while len(end) == 3 and extra < 2 and text.startswith(quote, self._at):
            self._at += 1
            extra += 1
