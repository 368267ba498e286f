"""What a setting's value may be: each function takes what TOML gave, and returns the value or raises ValueError.

And the way back: `written` is a value as TOML has it, for whoever shows settings or writes a file of them.
"""

import json
import os
import socket
from collections.abc import Callable, Mapping, Sequence

import banger
from banger.config.sizes import GIB, KIB, MIB, TIB, parse_size


class Wrong(ValueError):
    """A value that is refused at a place in it. ``place`` is keys and indices from the setting inwards."""

    def __init__(self, place: tuple[str | int, ...], reason: str) -> None:
        self.place = place
        self.reason = reason
        super().__init__(reason)


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
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key_written(str(key))} = {written(each)}" for key, each in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(written, value)) + "]"
    raise TypeError(f"{type(value).__name__} is no value of TOML")


def key_written(key: str) -> str:
    """A key as TOML has it: bare, or quoted where it must be."""
    bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if bare else written(key)
