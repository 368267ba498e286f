"""The reference pages of the command line and of the errors, made from their tables.

``python -m banger.cli.reference DIR`` writes ``cli.md`` and ``errors.md`` below DIR (docs/reference when left out).
"""

import os
import string
import sys
from collections.abc import Iterator, Sequence

from banger import errors
from banger.cli import help
from banger.cli.verb import Argument, Group, Verb
from banger.cli.verbs import GROUPS, VERBS

NOTE = "<!-- Made by `python -m banger.cli.reference` from {}; edit that. -->"


def command_line() -> str:
    """docs/reference/cli.md."""
    lines = ["# Command line", "", NOTE.format("the verb table in src/banger/cli/verbs/"), ""]
    lines += [
        "Results go to stdout, progress and prose to stderr. `--json` prints one document and nothing else. Colour is",
        "used on a terminal only, and not when `NO_COLOR` is set. Sizes are `512M`, `4G` or `4GiB`, a bare number is",
        "MiB; durations are `30`, `30s`, `5m` or `1h`. Exit statuses are listed in [errors.md](errors.md).",
        "",
    ]
    for group in GROUPS:
        lines += _group(group)
    lines += ["## Others", ""]
    for verb in VERBS:
        if " " not in verb.path:
            lines += _verb(verb)
    return "\n".join(lines).rstrip() + "\n"


def _group(group: Group) -> Iterator[str]:
    yield from (f"## banger {group.name}", "", group.description, "")
    yield from _code(group.examples)
    for verb in group.verbs:
        yield from _verb(verb)


def _verb(verb: Verb) -> Iterator[str]:
    yield from (f"### banger {verb.path}", "", help.sentence(verb.summary), "")
    yield from ("```", verb.usage, "```", "")
    if verb.description:
        yield from (verb.description, "")
    if verb.arguments:
        yield from ("| argument | meaning |", "|---|---|")
        yield from (_row(each) for each in (*verb.positionals, *verb.options))
        yield ""
    yield from _code(verb.examples)
    if verb.aliases:
        yield from ("Also " + ", ".join(f"`banger {alias}`" for alias in verb.aliases) + ".", "")


def _row(argument: Argument) -> str:
    return f"| `{argument.metavar if argument.positional else argument.usage}` | {_cell(help.explained(argument))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(lines: Sequence[str]) -> list[str]:
    return ["```console", *(f"$ {each}" for each in lines), "```", ""] if lines else []


def failures() -> str:
    """docs/reference/errors.md."""
    lines = ["# Errors and exit statuses", "", NOTE.format("src/banger/errors.py"), ""]
    lines += [
        "Every failure has a code, which does not change, and an exit status. Over HTTP it is a document with `code`,",
        "`message`, `hint` and `data`, where `data` holds the values in the message; in Python it is the class of that",
        "name in `banger.errors`.",
        "",
        "`banger run` and `banger exec` end with the guest command's exit status; a failure of banger itself that is",
        "listed below 124 is 125 there. A command that signal N ended is 128+N.",
        "",
        "| code | exit | HTTP | message | what to do |",
        "|---|---|---|---|---|",
    ]
    for each in sorted(errors.all_errors(), key=lambda kind: kind.code):
        cells = (_fields(each.template), _fields(each.hint))
        lines.append(f"| `{each.code}` | {each.exit_status} | {each.http} | {cells[0]} | {cells[1]} |")
    lines += ["", "| exit | meaning |", "|---|---|"]
    lines += [f"| {number} | {meaning} |" for number, meaning in STATUSES]
    return "\n".join(lines) + "\n"


STATUSES = (
    (0, "done"),
    (1, "a failure"),
    (2, "wrong usage"),
    (3, "not found; `banger daemon status`: no daemon runs"),
    (4, "a conflict with what exists"),
    (124, "a time limit ran out"),
    (125, "`run` and `exec`: banger itself failed"),
    (126, "`run` and `exec`: the command cannot be executed"),
    (127, "`run` and `exec`: the command was not found"),
    ("128+N", "`run` and `exec`: the command was ended by signal N"),
    (130, "interrupted by Ctrl-C, and undone"),
    (141, "whoever read the output stopped reading"),
)


def _fields(template: str) -> str:
    """A template with its fields as words: ``there is no KIND named NAME``."""
    parts = string.Formatter().parse(template)
    return _cell("".join(text + (f"*{field}*" if field else "") for text, field, _, _ in parts))


def main(directory: str) -> None:
    os.makedirs(directory, exist_ok=True)
    for name, page in (("cli.md", command_line()), ("errors.md", failures())):
        with open(os.path.join(directory, name), "w", encoding="utf-8") as out:
            out.write(page)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "docs/reference")
