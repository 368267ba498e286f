"""The reference page of the command line, made from the verb table."""

from collections.abc import Iterator, Sequence

from banger.cli import help
from banger.cli.verb import Argument, Group, Verb
from banger.cli.verbs.table import GROUPS, VERBS


def command_line() -> str:
    """docs/reference/cli.md."""
    lines = ["# Command line", "", help.CONVENTIONS, ""]
    lines += ["| exit status | meaning |", "|---|---|", *(f"| {word} | {text} |" for word, text in help.STATUSES), ""]
    lines += [help.WHOSE_STATUS, "Each failure has a row in [errors.md](errors.md).", ""]
    for group in GROUPS:
        if not group.hidden:
            lines += _group(group)
    lines += ["## Others", ""]
    for verb in VERBS:
        if " " not in verb.path:
            lines += _verb(verb)
    return "\n".join(lines).rstrip() + "\n"


def _group(group: Group) -> Iterator[str]:
    yield from (f"## banger {group.name}", "", group.description, "")
    yield from _code(group.examples)
    yield from (f"- `{line}`: {meaning}" for line, meaning in group.next)
    yield ""
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
