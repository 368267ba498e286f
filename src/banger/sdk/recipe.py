"""Recipes as files: a small TOML document in, a `BuildImage` out.

    client.image_build(recipe.read("tools.toml"))

The table of keys is what a recipe may say: the reader, its errors and the reference page follow from it. An unknown
key is an error that names the nearest one. Sources are read here, on the caller's side and with the caller's rights:
the daemon gets contents.
"""

import difflib
import os
import stat
import tomllib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from banger import errors
from banger.api.recipe import BuildImage, RecipeConfig, RecipeFile
from banger.config.sizes import parse_size

LARGEST = 1 << 20
"""Most bytes of a recipe itself."""

SOURCES_LIMIT = 16 << 20
"""Most bytes of all the files that a recipe names; the daemon takes no more."""

REFERENCE = "docs/reference/recipe.md lists every key"


class Key(NamedTuple):
    """A row. ``read`` turns what TOML gave into the value, or raises ValueError."""

    name: str
    kind: str
    """The type in words, for errors and for the reference."""
    read: Callable[[object], object]
    help: str


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError
    return value


def _texts(value: object) -> list[str]:
    if not isinstance(value, list):
        raise ValueError
    return [_text(each) for each in value]


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _size(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError
    return parse_size(str(value))


def _variables(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise ValueError
    return value


def _any_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def read_mode(value: object) -> int:
    """A mode as people write it: octal digits, in a string."""
    if not isinstance(value, str) or not 3 <= len(value) <= 4 or not set(value) <= set("01234567"):
        raise ValueError
    return int(value, 8)


TOP = (
    Key("name", "a string", _text, "Name of the image, where the command gives none."),
    Key("description", "a string", _text, "What the image is for; shown by `banger image show`."),
    Key("suite", "a string", _text,
        "A Debian suite (`bookworm`): the image is built of its packages, without root and without a machine."),
    Key("base", "a string", _text,
        "An image by name, or any reference: the image is built on it, in a machine made for that."),
    Key("packages", "an array of strings", _texts,
        "Installed first: by mmdebstrap in a suite, by the distribution's own tool on a base."),
    Key("commands", "an array of strings", _texts,
        "Shell lines, run in order as root with `sh -e` in `/`, after packages and files. Each must succeed."),
    Key("systemd", "true or false", _truth, "Install systemd, so that machines of the image boot it."),
    Key("ssh", "true or false", _truth, "Install an ssh server. Each machine makes host keys of its own."),
    Key("size", 'a size: "4G", or a whole number of MiB', _size,
        "Size of the file system; 1.5 times its content and at least 8G when left out, and on a base its machine's."),
    Key("mirror", "a string", _text, "The archive that a suite's packages come from."),
)  # fmt: skip
FILE = (
    Key("path", "a string", _text, "Where the file goes: an absolute path. Missing directories are made."),
    Key("content", "a string", _any_text, "What is in it."),
    Key("source", "a string", _text, "A file of this host in place of `content`, relative to the recipe."),
    Key("mode", 'a string of octal digits, such as "0755"', read_mode,
        "Its mode. When left out: `0644`, or `0755` for a source that may be executed."),
    Key("owner", "a string", _text, 'A user, or a user and a group: `"worker"`, `"33:33"`. Otherwise root.'),
)  # fmt: skip
CONFIG = (
    Key("env", "a table of strings", _variables,
        "Variables of every command, in the build and later. Added to those of the base."),
    Key("cwd", "a string", _text, "The directory in which commands run."),
    Key("user", "a string", _text, "The user that commands run as; those of the recipe run as root."),
    Key("entrypoint", "an array of strings", _texts, "Put before the command by `banger run --entrypoint`."),
    Key("cmd", "an array of strings", _texts, "The default command."),
)  # fmt: skip
SECTIONS: Mapping[str, tuple[str, tuple[Key, ...]]] = {
    "files": ("an array of tables: write [[files]]", FILE),
    "config": ("a table: write [config]", CONFIG),
}


def read(path: str) -> BuildImage:
    """The recipe in a file; its name is empty where the file gives none. Raises `errors.BadSetting`."""
    return _Reader(path).recipe()


def load_file(host: str, guest: str, mode: int | None, owner: str = "root:root") -> RecipeFile:
    """A file of this host as a recipe's. Raises `errors.NoSuchPath`, `errors.UsageError`."""
    try:
        with open(host, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise errors.UsageError(detail=f"{host} is not a regular file")
            content = file.read(SOURCES_LIMIT + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise errors.NoSuchPath(kind="file", path=host) from None
    except OSError as error:
        raise errors.UsageError(detail=f"{host}: {(error.strerror or str(error)).lower()}") from None
    if mode is None:
        mode = 0o755 if status.st_mode & 0o111 else 0o644
    checked = check_total([RecipeFile(path=guest, content=content, mode=mode, owner=owner)])
    return checked[0]


def check_total(files: list[RecipeFile]) -> list[RecipeFile]:
    """``files`` themselves. Raises `errors.UsageError` when they are more than the daemon takes."""
    if sum(len(file.content) for file in files) > SOURCES_LIMIT:
        largest = max(files, key=lambda each: len(each.content))
        detail = f"a recipe's files have at most {SOURCES_LIMIT >> 20} MiB together; the largest is {largest.path}"
        raise errors.UsageError(detail=detail)
    return files


class _Reader:
    """One recipe. ``where`` in its methods is the place in the file, for errors."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._directory = os.path.dirname(os.path.abspath(path))

    def recipe(self) -> BuildImage:
        document = self._document()
        sections = {name: document.pop(name) for name in SECTIONS if name in document}
        values = self._values(document, TOP, "", tuple(SECTIONS))
        if "suite" in values and "base" in values:
            raise self._bad("base", "a recipe has a suite or a base, not both")
        files = self._files(sections.get("files", []))
        config = sections.get("config", {})
        if not isinstance(config, dict):
            raise self._bad("config", f"it is {SECTIONS['config'][0]}")
        return msgspec.convert(
            {
                "name": "",
                **values,
                "files": self._total(files),
                "config": RecipeConfig(**self._values(config, CONFIG, "config.")),  # type: ignore[arg-type]
            },
            BuildImage,
        )

    def _document(self) -> dict[str, object]:
        try:
            with open(self._path, "rb") as file:
                data = file.read(LARGEST + 1)
        except OSError as error:
            raise self._bad("(file)", (error.strerror or str(error)).lower()) from None
        if len(data) > LARGEST:
            raise self._bad("(file)", "it is larger than 1 MiB")
        try:
            return tomllib.loads(data.decode())
        except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
            raise self._bad("(file)", f"it is not TOML: {error}") from None

    def _values(
        self, table: Mapping[str, object], keys: tuple[Key, ...], where: str, others: tuple[str, ...] = ()
    ) -> dict[str, object]:
        known = {key.name: key for key in keys}
        found = {}
        for name, value in table.items():
            if name not in known:
                close = difflib.get_close_matches(name, [*known, *others], 1)
                nearest = f"; did you mean {where}{close[0]}?" if close else ""
                raise self._bad(f"{where}{name}", f"there is no such key{nearest}")
            try:
                found[name] = known[name].read(value)
            except (ValueError, errors.UsageError):
                raise self._bad(f"{where}{name}", f"{repr(value)[:60]} is not {known[name].kind}") from None
        return found

    def _files(self, tables: object) -> list[RecipeFile]:
        if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
            raise self._bad("files", f"it is {SECTIONS['files'][0]}")
        return [self._file(table, f"files[{number}].") for number, table in enumerate(tables, 1)]

    def _file(self, table: Mapping[str, object], where: str) -> RecipeFile:
        values = self._values(table, FILE, where)
        if "path" not in values:
            raise self._bad(f"{where}path", "it is missing")
        if ("content" in values) == ("source" in values):
            raise self._bad(f"{where}content", "a file has either content or a source")
        path, owner = str(values["path"]), str(values.get("owner", "root:root"))
        if "content" in values:
            mode = values.get("mode", 0o644)
            assert isinstance(mode, int)
            return RecipeFile(path=path, content=str(values["content"]).encode(), mode=mode, owner=owner)
        wanted = values.get("mode")
        try:
            source = os.path.join(self._directory, str(values["source"]))
            return load_file(source, path, wanted if isinstance(wanted, int) else None, owner)
        except (errors.NoSuchPath, errors.UsageError) as error:
            raise self._bad(f"{where}source", error.message) from None

    def _total(self, files: list[RecipeFile]) -> list[RecipeFile]:
        try:
            return check_total(files)
        except errors.UsageError as error:
            raise self._bad("files", error.message) from None

    def _bad(self, key: str, reason: str) -> errors.BadSetting:
        error = errors.BadSetting(path=self._path, key=key, reason=reason)
        error.advise(REFERENCE)
        return error


def page() -> str:
    """docs/reference/recipe.md."""
    lines = [
        "# Recipes\n",
        "A recipe is a TOML file for `banger image build`. Every key is optional; an unknown key or a value of the",
        "wrong type is an error that names the file and the key. A recipe itself has at most 1 MiB, the files that it",
        f"names {SOURCES_LIMIT >> 20} MiB together. [Build an image](../howto/build-an-image.md) shows one at work.\n",
    ]
    for title, keys in (("Top level", TOP), ("[[files]]", FILE), ("[config]", CONFIG)):
        lines += [f"## {title}\n", "| key | value | meaning |", "|---|---|---|"]
        lines += [f"| `{key.name}` | {key.kind} | {key.help} |" for key in keys]
        lines.append("")
    return "\n".join(lines)
