"""From words to values: argparse, set up for the one verb that was chosen.

Words after ``--`` are a guest command and are never looked at. A verb that requires a command also ends its own
options at its first positional argument, as `docker exec` does: ``banger exec web ls -l``.
"""

import argparse
from collections.abc import Sequence

from banger import errors
from banger.cli.durations import parse_duration
from banger.cli.verb import Argument, Verb
from banger.config.sizes import parse_size

TYPE_CHECKING = False  # typing itself is not loaded: it would cost a verb a tenth of its start-up
if TYPE_CHECKING:
    from typing import NoReturn


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> "NoReturn":
        raise errors.UsageError(detail=message)


def _formatter(prog: str) -> argparse.HelpFormatter:
    """With a width of its own: to ask for the terminal's, argparse would load shutil and the compressors."""
    return argparse.HelpFormatter(prog, width=100)


def split(verb: Verb, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words that are banger's own, and those of the guest's command."""
    valued = {flag for each in verb.options if each.takes_value for flag in each.flags}
    position = 0
    while position < len(words):
        word = words[position]
        if word == "--":
            return list(words[:position]), list(words[position + 1 :])
        if word.startswith("-") and word != "-":
            position += 2 if word in valued or _ends_valued(word, valued) else 1
        elif verb.command == "required":
            rest = list(words[position + 1 :])
            return list(words[: position + 1]), rest[1:] if rest[:1] == ["--"] else rest
        else:
            position += 1
    return list(words), []


def _ends_valued(word: str, valued: set[str]) -> bool:
    """Whether a cluster of short options (``-ie``) ends with one whose value is the next word."""
    if word.startswith("--") or len(word) < 3:
        return False
    first = next((index for index, letter in enumerate(word[1:], 1) if f"-{letter}" in valued), 0)
    return first == len(word) - 1


def asks_for_help(words: Sequence[str]) -> bool:
    return "-h" in words or "--help" in words


def parse(verb: Verb, words: Sequence[str]) -> argparse.Namespace:
    """The values of a verb's arguments, and the guest's ``command``. Raises `errors.UsageError`."""
    own, command = split(verb, words)
    parser = _Parser(prog=f"banger {verb.path}", add_help=False, allow_abbrev=False, formatter_class=_formatter)
    for argument in verb.arguments:
        _add(parser, argument)
    if command and not verb.command:
        own, command = [*own, "--", *command], []
    namespace = parser.parse_args(own)
    if verb.command == "required" and not command:
        raise errors.UsageError(detail="say which command to run")
    namespace.command = command
    for argument in verb.arguments:
        _convert(namespace, argument)
    return namespace


def _add(parser: argparse.ArgumentParser, argument: Argument) -> None:
    if argument.positional:
        count = {"one": None, "optional": "?", "several": "+", "any": "*"}[argument.many]
        parser.add_argument(argument.name, metavar=argument.metavar, nargs=count, choices=argument.choices or None)
    elif argument.kind == "flag":
        parser.add_argument(*argument.flags, dest=argument.name, action="store_true")
    else:
        repeated = argument.kind in ("env", "list")
        parser.add_argument(
            *argument.flags,
            dest=argument.name,
            metavar=argument.metavar,
            action="append" if repeated else "store",
            default=[] if repeated else None,
            required=argument.required,
        )


def _convert(namespace: argparse.Namespace, argument: Argument) -> None:
    value = getattr(namespace, argument.name)
    readers = {"size": parse_size, "duration": parse_duration, "count": _count, "env": _environment}
    if value is not None and argument.kind in readers:
        try:
            setattr(namespace, argument.name, readers[argument.kind](value))
        except errors.UsageError as error:
            raise errors.UsageError(detail=f"{argument.flags[-1]}: {error}") from None


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise errors.UsageError(detail=f"{text!r} is not a number above 0")
    return int(text)


def _environment(pairs: Sequence[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise errors.UsageError(detail=f"{pair!r} is not of the form K=V")
        found[name] = value
    return found
