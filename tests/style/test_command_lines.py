"""Every command line of banger's that is shown can be typed: in help, hints and errors, in documents, in code blocks.

What is shown may leave out arguments ('banger cp' by itself names the verb) and may have a word to fill in (VM, NAME,
SIZE), but a verb, an option or a value that there is not is a lie. The real parser judges.
"""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from banger import errors
from banger.cli import help, parser
from banger.cli.verb import Argument, Verb
from banger.cli.verbs import find
from banger.cli.verbs.table import GROUPS, VERBS

TREE = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([TREE / "README.md", *TREE.glob("docs/**/*.md"), *TREE.glob("*/README.md"), TREE / "CHANGELOG.md"])
SOURCES = sorted(TREE.glob("src/banger/**/*.py"))
FENCED = re.compile(r"^```(console|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<![`\w])`((?:sudo )?banger [^`\n]+(?:\n[^`\n]+)?)`")
QUOTED = re.compile(r"(?<!\w)'((?:sudo )?banger [^']+)'")
TYPED = re.compile(r"(?:^|[\s;|&(])(?:sudo )?(?:[^\s=]*/)?banger (?=(.*))")
FILLED = {"count": "2", "size": "4G", "duration": "5m", "env": "K=V"}
END = re.compile(r"[|;&<>)]|\s#|\d>")


class Shown(NamedTuple):
    """A command line, what follows `banger `, and where it is shown."""

    place: str
    line: str


def in_documents() -> Iterator[Shown]:
    for path in DOCUMENTS:
        text, place = path.read_text(), str(path.relative_to(TREE))
        for kind, block in FENCED.findall(text):
            for line in block.replace("\\\n", " ").splitlines():
                for found in TYPED.finditer(line) if kind == "sh" or line.startswith("$ ") else ():
                    yield Shown(place, found[1])
        for found in INLINE.finditer(re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)):
            yield Shown(place, " ".join(found[1].split()).removeprefix("sudo ").removeprefix("banger "))


def in_sources() -> Iterator[Shown]:
    """What a text of the program shows in quotes; a value that is only known when it runs is a word."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                text = "".join(str(each.value) if isinstance(each, ast.Constant) else "VALUE" for each in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
            else:
                continue
            text = text.replace("'banger {verb} ", "'banger vm ")  # `test_a_hint_names_the_verbs_of_its_kind`
            for found in QUOTED.finditer(text):
                line = " ".join(found[1].split()).removeprefix("sudo ").removeprefix("banger ")
                yield Shown(str(path.relative_to(TREE)), line)


def in_help() -> Iterator[Shown]:
    lines = [*help.EXAMPLES, *(line for verb in VERBS for line in verb.examples)]
    lines += [line for group in GROUPS for line in (*group.examples, *(word for word, _ in group.next))]
    for line in lines:
        for found in TYPED.finditer(line):
            yield Shown("help", found[1])


def words(line: str) -> list[str]:
    """A command line's own words, as a shell would give them."""
    line = re.sub(r"\$\([^)]*\)?", "VALUE", line.replace("'\\''", ""))
    try:
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&<>()")
        lexer.whitespace_split = True
        found = []
        for word in lexer:
            if word and set(word) <= set("|;&<>()#"):
                break
            found.append(word)
    except ValueError:
        found = END.split(line)[0].split()
    while found and found[-1] in ("...", "2"):
        found.pop()
    return [word.removesuffix("...") or word for word in found]


def complaint(line: str) -> str:
    """What is wrong with a command line, or nothing."""
    typed = words(line)
    if not typed or typed[0] in ("VERB", "--version", "--help", "help") or typed[0].startswith("VALUE"):
        return complaint(" ".join(typed[1:])) if typed[:1] == ["help"] and len(typed) > 1 else ""
    found, length = find(typed)
    rest = typed[length:]
    if not isinstance(found, Verb):
        known = found is not None and (not rest or rest[0] in ("--help", "VERB"))
        return "" if known else "there is no such verb"
    if parser.asks_for_help(parser.split(found, rest)[0]):
        return ""
    try:
        parser.parse(found, [*filled(found, rest)])
    except errors.UsageError as error:
        left_out = ("arguments are required", "say which command to run")
        return "" if any(each in str(error) for each in left_out) else str(error)
    return ""


def filled(verb: Verb, typed: list[str]) -> Iterator[str]:
    """The words, with an example where a value is to be filled in or left out."""
    awaited: Argument | None = None
    for word in typed:
        flag, equals, value = word.partition("=")
        option = next((each for each in verb.options if flag in each.flags and each.takes_value), None)
        if option is not None and equals and value.isupper() and value.isalpha():
            yield f"{flag}={example(option)}"
        elif awaited is not None and word.isupper() and word.isalpha():
            yield example(awaited)
        else:
            yield word
        awaited = option if option is not None and not equals else None
    if awaited is not None:  # an option by itself stands for what it does
        yield example(awaited)


def example(option: Argument) -> str:
    return option.choices[0] if option.choices else FILLED.get(option.kind, "VALUE")


SHOWN = sorted({*in_documents(), *in_sources(), *in_help()})


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: f"{shown.place}: {shown.line}"[:110])
def test_a_command_line_that_is_shown_can_be_typed(shown: Shown) -> None:
    assert complaint(shown.line) == "", f"{shown.place} shows 'banger {shown.line}'"


@pytest.mark.parametrize("kind", ["machine", "image", "kernel"])
def test_a_hint_names_the_verbs_of_its_kind(kind: str) -> None:
    for found in QUOTED.findall(errors.NotFound(kind=kind, name="x").advice):
        assert complaint(found.removeprefix("banger ")) == ""


def test_they_were_found() -> None:
    """Which kinds of places there are; a pattern that finds nothing proves nothing."""
    places = {shown.place for shown in SHOWN}
    assert {"README.md", "help", "src/banger/errors.py", "docs/tutorial/first-machine.md"} <= places
    assert len(SHOWN) > 300


@pytest.mark.parametrize(
    "line",
    ["vm frobnicate", "frobnicate", "run --colour", "vm set web --vcpu none", "daemon frob", "help vm frob", "ps web"],
)
def test_the_judge_can_say_no(line: str) -> None:
    assert complaint(line)
