"""What a setting's value may be: each function takes what TOML gave, and returns the value or raises ValueError.

And the way back: `written` is a value as TOML has it, for whoever shows settings or writes a file of them.
"""

import difflib
import json
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import banger
from banger.config.sizes import GIB, KIB, MIB, TIB, parse_size
from banger.text import printable


class Wrong(ValueError):
    """A value that is refused at a place in it. ``place`` is keys and indices from the setting inwards."""

    def __init__(self, place: tuple[str | int, ...], reason: str) -> None:
        self.place = place
        self.reason = reason
        super().__init__(reason)


class Row(NamedTuple):
    """A key of a table that a setting consists of; ``parse`` as in `banger.config.settings.Setting`."""

    name: str
    kind: str
    parse: Callable[[object], object]
    help: str
    example: object


def rows(value: object, known: Sequence[Row], place: tuple[str | int, ...]) -> dict[str, object]:
    """The values of a table whose keys are ``known``. Raises `Wrong`, which names the key."""
    if not isinstance(value, Mapping):
        raise Wrong(place, "it is a table")
    by_name = {each.name: each for each in known}
    found = {}
    for name, item in value.items():
        if name not in by_name:
            raise Wrong((*place, name), f"there is no such setting{nearest(name, by_name)}")
        try:
            found[name] = by_name[name].parse(item)
        except Wrong as wrong:
            raise Wrong((*place, name, *wrong.place), wrong.reason) from None
        except ValueError:
            raise Wrong((*place, name), f"{shown(item)} is not {by_name[name].kind}") from None
    return found


def shown(value: object) -> str:
    """What somebody wrote, short and printable."""
    return printable(repr(value), 60)


def nearest(name: str, known: Iterable[str]) -> str:
    """What was meant by a name that is not known, in words; nothing where nothing is like it."""
    names = list(known)
    last = {each.rpartition(".")[2]: each for each in names}
    inner = name.rpartition(".")[2]
    close = [last[inner]] if inner in last else difflib.get_close_matches(name, names, 1)
    close = close or [last[each] for each in difflib.get_close_matches(inner, list(last), 1)]
    return f"; did you mean {close[0]}?" if close else ""


def text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def one_of(*words: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    return parse


def whole(lowest: int, highest: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            raise ValueError
        return value

    return parse


def port(value: object) -> int:
    return 0 if value == 0 and value is not False else whole(1024, 65535)(value)


def ipv4(value: object) -> str:
    """Checked by the C library, whose parser costs a verb nothing to load."""
    try:
        return socket.inet_ntoa(socket.inet_pton(socket.AF_INET, text(value)))
    except OSError:
        raise ValueError from None


def truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def absolute(value: object) -> str:
    if not isinstance(value, str) or not value.startswith(("/", "~/")) or "\0" in value:
        raise ValueError
    return os.path.normpath(os.path.expanduser(value))


def size(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError
    try:
        return parse_size(str(value))
    except banger.errors.UsageError:
        raise ValueError from None


def size_or_zero(value: object) -> int:
    return 0 if value in (0, "0") and value is not False else size(value)


def rate(value: object) -> int:
    if (found := size_or_zero(value)) > TIB:
        raise ValueError
    return found


def factor(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.1 <= value <= 1000:
        raise ValueError
    return float(value)


def seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86400:
        raise ValueError
    return float(value)


def limit(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 315_360_000:
        raise ValueError
    return float(value)


SIZES = (size, size_or_zero, rate)
"""Those whose values are bytes, and written with a unit."""

_UNITS = ((TIB, "T"), (GIB, "G"), (MIB, "M"), (KIB, "K"), (1, "B"))


def plain(value: object) -> object:
    """A value as plain data: named tuples as tables, without what is not set in them."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items() if each is not None}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def written(value: object, *, sized: bool = False) -> str:
    """A value as it is written in TOML; ``sized`` is a number of bytes. None, which TOML has not, is ``unset``."""
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and sized:
        unit, letter = next(each for each in _UNITS if value % each[0] == 0)
        return f'"{value // unit}{letter}"' if value else "0"
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    value = plain(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key_written(str(key))} = {written(each)}" for key, each in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(written, value)) + "]"
    raise TypeError(f"{type(value).__name__} is no value of TOML")


def key_written(key: str) -> str:
    """A key as TOML has it: bare, or quoted where it must be."""
    bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if bare else written(key)
