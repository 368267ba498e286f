"""A file of settings: its tables, and the line of each key, by which everything wrong in it is told."""

import re
import tomllib
from typing import NamedTuple

import banger
from banger.config.lines import Key, find
from banger.config.values import key_written
from banger.text import printable

LARGEST = 1 << 20
"""Most bytes that are read."""

_AT = re.compile(r" ?\(at line (\d+), column \d+\)")


class File(NamedTuple):
    """What was read; nothing of a file that is not there."""

    path: str
    table: dict[str, object]
    lines: dict[Key, int]

    def line(self, key: Key) -> int:
        """Where a key stands, or the nearest thing around it; 0 where that is not known."""
        while key and key not in self.lines:
            key = key[:-1]
        return self.lines.get(key, 0)

    def wrong(self, key: Key, reason: str) -> "banger.errors.BadSetting":
        return banger.errors.BadSetting(path=self.path, line=self.line(key), key=dotted(key), reason=reason)


def dotted(key: Key) -> str:
    """A key in one word: ``file_sync[0].host``."""
    words = [f"[{each}]" if isinstance(each, int) else f".{key_written(each)}" for each in key]
    return printable("".join(words).removeprefix("."), 120)


def read(path: str) -> File:
    """The file, empty where there is none. Raises `errors.BadSetting`."""
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        return File(path, {}, {})
    except OSError as error:
        raise banger.errors.BadSetting(path=path, key="(file)", reason=error.strerror or str(error)) from None
    return parse(path, data)


def parse(path: str, data: bytes) -> File:
    """The file with that content. Raises `errors.BadSetting`."""
    if len(data) > LARGEST:
        raise banger.errors.BadSetting(path=path, key="(file)", reason="it is larger than 1 MiB")
    try:
        text = data.decode()
        return File(path, tomllib.loads(text), find(text))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        said = printable(str(error), 200)
        found = _AT.search(said)
        line, reason = (int(found[1]), _AT.sub("", said)) if found else (0, said)
        raise banger.errors.BadSetting(path=path, line=line, key="(file)", reason=f"it is not TOML: {reason}") from None
