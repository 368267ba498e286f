"""The catalogs in force: the built-in file and the user's, read again when one of them has changed.

A name may be in several files: the user's win over the built-in one, and of the user's the last by name. A file that is
broken counts as absent, and its fault is kept: whoever looks for a name that is nowhere else is told of it.
"""

import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from banger import errors
from banger.catalog import entry
from banger.catalog.entry import Bundle, Entry
from banger.log import printable

BUILT_IN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "builtin.toml")
SUFFIX = ".toml"
LIMIT = 1 << 20
"""Most bytes of a file."""

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
KERNEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class Listed(NamedTuple):
    """An entry under its name, and the file that it is from."""

    noun: str
    name: str
    entry: Entry
    file: str

    @property
    def source(self) -> str:
        return "built in" if self.file == BUILT_IN else self.file


class _State(NamedTuple):
    stamp: object
    entries: Mapping[tuple[str, str], Listed]
    faults: tuple[errors.BadSetting, ...]


class Catalogs:
    """The catalogs of one installation; ``directory`` holds the user's and may be missing."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._state = _State(None, {}, ())

    def image(self, name: str) -> Entry | None:
        """The entry of an image's name, None when no catalog has it."""
        return self._find("image", name)

    def kernel(self, name: str) -> Bundle | None:
        found = self._find("kernel", name)
        assert found is None or isinstance(found, Bundle)
        return found

    def entries(self, noun: str) -> list[Listed]:
        """All entries of a noun, by name."""
        found = self._current().entries
        return [found[key] for key in sorted(found) if key[0] == noun]

    def faults(self) -> tuple[errors.BadSetting, ...]:
        """What is wrong with files that are passed over."""
        return self._current().faults

    def _find(self, noun: str, name: str) -> Entry | None:
        found = self._current().entries.get((noun, name))
        return found.entry if found is not None else None

    def _current(self) -> _State:
        files = [BUILT_IN, *self._files()]
        stamp = [(file, _stamp(file)) for file in files]
        if stamp != self._state.stamp:
            entries: dict[tuple[str, str], Listed] = {}
            faults = []
            for file in files:
                try:
                    entries |= {(each.noun, each.name): each for each in read(file)}
                except errors.BadSetting as fault:
                    faults.append(fault)
            self._state = _State(stamp, entries, tuple(faults))
        return self._state

    def _files(self) -> list[str]:
        try:
            names = sorted(os.listdir(self._directory))
        except OSError:
            return []
        return [os.path.join(self._directory, name) for name in names if name.endswith(SUFFIX)]


def _stamp(file: str) -> object:
    try:
        found = os.stat(file)
    except OSError as error:
        return error.errno
    return found.st_ino, found.st_size, found.st_mtime_ns


def read(file: str) -> list[Listed]:
    """The entries of one file. Raises `errors.BadSetting`, which names the file and the key."""
    try:
        return list(_entries(file, _table(file)))
    except entry.Wrong as wrong:
        fault = errors.BadSetting(path=file, key=wrong.key, reason=wrong.reason)
        fault.advise("docs/reference/catalogs.md describes the format; the file is passed over until it is mended")
        raise fault from None


def _table(file: str) -> dict[str, object]:
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):
            raise entry.Wrong("(file)", "it is no regular file")
        with open(file, "rb") as source:
            data = source.read(LIMIT + 1)
    except OSError as error:
        raise entry.Wrong("(file)", error.strerror or str(error)) from None
    if len(data) > LIMIT:
        raise entry.Wrong("(file)", "it is larger than 1 MiB")
    try:
        return tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise entry.Wrong("(file)", f"it is not TOML: {printable(str(error), 200)}") from None


def _entries(file: str, table: Mapping[str, object]) -> Iterator[Listed]:
    for noun, names in table.items():
        if noun not in entry.KINDS:
            raise entry.Wrong(printable(noun, 40), f"there is no such table{entry.nearest(noun, entry.KINDS)}")
        if not isinstance(names, dict):
            raise entry.Wrong(noun, f"write [{noun}.NAME]")
        for name, value in names.items():
            if not (NAME if noun == "image" else KERNEL_NAME).fullmatch(name):
                raise entry.Wrong(f"{noun}.{printable(name, 80)}", "it is not a valid name")
            found = entry.parse(noun, name, value)
            yield Listed(noun, name, _placed(found, file), file)


def _placed(found: Entry, file: str) -> Entry:
    """An entry whose relative path is one from the catalog's own directory."""
    if not isinstance(found, Bundle) or found.url.startswith("/") or re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", found.url):
        return found
    return msgspec.structs.replace(found, url=os.path.join(os.path.dirname(os.path.abspath(file)), found.url))
