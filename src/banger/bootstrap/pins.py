"""What a repository's files say about the versions of its tools: a reader for each file that is known.

Each reader is a function of the file's content, and its findings are pins and reasons why there is none.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from banger.bootstrap import versions
from banger.text import printable

MISE_FILES = (
    "mise.toml", ".mise.toml", "mise/config.toml", ".mise/config.toml", ".config/mise.toml", ".config/mise/config.toml",
    ".tool-versions",
)  # fmt: skip
"""What mise itself reads; the tools in them are its own business."""

ALIASES = {"golang": "go", "nodejs": "node"}


class Pin(NamedTuple):
    """A tool, its version as mise takes it, and the file that says so."""

    tool: str
    version: str
    source: str


class Skip(NamedTuple):
    """What is left out, and why: a sentence's part that follows the file's name."""

    source: str
    reason: str
    lost: bool = True
    """Whether a tool is missing for it; what is provided in another way is not."""


Found = Iterator[Pin | Skip]


def of_file(name: str, content: bytes) -> list[Pin | Skip]:
    """What one file says. A file that cannot be read says that."""
    try:
        return list(READERS[name](name, content.decode("utf-8-sig")))
    except (ValueError, RecursionError):  # what a decoder raises, of text, JSON and TOML alike
        return [Skip(name, "it cannot be read")]


def managed(name: str, content: bytes) -> set[str]:
    """The tools that a file of mise's names; those of a file that cannot be read are not known."""
    try:
        text = content.decode("utf-8-sig")
        words = [line.split()[:1] for line in text.splitlines()]
        if name == ".tool-versions":
            names = [each[0] for each in words if each and not each[0].startswith("#")]
        else:
            table = tomllib.loads(text).get("tools")
            names = list(table) if isinstance(table, dict) else []
    except (ValueError, RecursionError):
        return set()
    plain = [each.removeprefix("core:") for each in names]
    return {ALIASES.get(each, each) for each in plain}


def _pin(tool: str, version: str, name: str) -> Pin | Skip:
    if versions.known(tool, version):
        return Pin(tool, version, name)
    return Skip(name, f"'{printable(version, 40)}' is no version of {tool} that is known here")


def _first_line(text: str) -> str:
    """The first line that is no comment."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return next(filter(None, lines), "")


def _go(name: str, text: str) -> Found:
    """go.mod: the toolchain where one is named, or else the language's version."""
    found = dict(re.findall(r"^(go|toolchain)[ \t]+([^\s/]+)[ \t]*(?://.*)?$", text, re.MULTILINE))
    toolchain = found.get("toolchain", "default").removeprefix("go")
    version = found.get("go", "") if toolchain == "default" else toolchain
    if version:
        yield _pin("go", version, name)


def _node(name: str, text: str) -> Found:
    """.nvmrc and .node-version."""
    word = _first_line(text).lower()
    plain = word.replace("lts/", "lts-").removeprefix("v")
    version = {"lts/*": "lts", "node": "latest", "stable": "lts"}.get(word, plain)
    if version:
        yield _pin("node", version, name)


def _package(name: str, text: str) -> Found:
    """package.json: engines.node, and the package manager."""
    document = json.loads(text)
    if not isinstance(document, dict):
        return
    engines = document.get("engines")
    wanted = engines.get("node") if isinstance(engines, dict) else None
    if isinstance(wanted, str) and wanted.strip():
        version = versions.of_npm_range(wanted)
        if version is None:
            yield Skip(name, f"engines.node is '{printable(wanted, 40)}', which names no series of versions")
        else:
            yield _pin("node", version, name)
    manager = document.get("packageManager")
    if isinstance(manager, str):
        tool, _, version = manager.partition("+")[0].partition("@")
        if tool == "npm":
            yield Skip(name, "npm comes with node", False)
        elif tool in versions.TOOLS:
            yield _pin(tool, version, name)
        else:
            yield Skip(name, f"'{printable(manager, 40)}' is no package manager that is known here")


def _python(name: str, text: str) -> Found:
    """.python-version; of several the first."""
    version = _first_line(text).removeprefix("cpython-")
    if version:
        yield _pin("python", version, name)


def _project(name: str, text: str) -> Found:
    """pyproject.toml: project.requires-python."""
    project = tomllib.loads(text).get("project")
    wanted = project.get("requires-python") if isinstance(project, dict) else None
    if isinstance(wanted, str) and wanted.strip():
        version = versions.of_python_specifiers(wanted)
        if version is None:
            yield Skip(name, f"requires-python is '{printable(wanted, 40)}', which names no series of versions")
        else:
            yield _pin("python", version, name)


def _rust(name: str, text: str) -> Found:
    """rust-toolchain.toml, and rust-toolchain, which is the same or a channel alone."""
    word = _first_line(text)
    if name == "rust-toolchain" and "[" not in word and "=" not in word:
        if word:
            yield _pin("rust", word, name)
        return
    toolchain = tomllib.loads(text).get("toolchain")
    channel = toolchain.get("channel") if isinstance(toolchain, dict) else None
    if isinstance(channel, str):
        yield _pin("rust", channel, name)
    elif isinstance(toolchain, dict) and "path" in toolchain:
        yield Skip(name, "its toolchain is a path of the host's")


READERS: Mapping[str, Callable[[str, str], Found]] = {
    "go.mod": _go,
    ".nvmrc": _node,
    ".node-version": _node,
    "package.json": _package,
    ".python-version": _python,
    "pyproject.toml": _project,
    "rust-toolchain.toml": _rust,
    "rust-toolchain": _rust,
}
"""File -> its reader. Of files about the same tool the first decides."""

NAMES = (*MISE_FILES, *READERS)
"""Every file that is looked at, below the repository's top."""
