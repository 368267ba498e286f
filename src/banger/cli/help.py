"""Help pages, made from the verb table: the whole, a group, a verb."""

import textwrap
from collections.abc import Sequence

from banger.cli.verb import Argument, Group, Verb
from banger.cli.verbs.table import GROUPS, VERBS

WIDTH = 100

TITLE = "a whole Linux machine in one command"

INTRODUCTION = """\
A whole Linux machine in one command: a microVM made from any container image.

'banger run' makes a machine, starts it and opens a shell in it; 'banger run --rm -- COMMAND' runs one command in a
machine that is gone afterwards. What is missing on the way, an image or a kernel, is fetched and said aloud."""

EXAMPLES = (
    "banger run --rm -- uname -a          # one command in a machine of its own",
    "banger run                           # a shell",
    "banger run . --name dev              # a shell in a machine that has the git repository here",
    "banger exec dev -- make test         # a command there, from now on",
    "banger vm workspace export dev | git apply    # what was changed there, here",
    "banger ps                            # what is there",
    "banger doctor                        # whether this host has what it takes",
)

CONVENTIONS = """\
Results go to stdout, progress and prose to stderr. With --json a verb prints one JSON document and nothing else. Colour
is used on a terminal only, and not when NO_COLOR is set. Sizes are 512M, 4G or 4GiB, a bare number is MiB; durations
are 30, 30s, 5m, 1h or 2d. A machine is named by its name or by the beginning of its id. What fails says what, why and
what to do, on stderr."""

STATUSES = (
    ("0", "it worked"),
    ("1", "it failed"),
    ("2", "the command line, or a value in it, makes no sense"),
    ("3", "what was named is not there"),
    ("4", "it is in conflict with what exists"),
    ("124", "a time limit ran out"),
    ("125", "banger itself failed, where the status is a command's"),
    ("126", "the command in the machine could not be executed"),
    ("127", "the command in the machine was not found"),
    ("128+N", "signal N ended the command; 130 is Ctrl-C"),
)
"""Exit statuses, and what they say; `banger.errors` gives each failure one of them."""


WHOSE_STATUS = """\
Of 'banger run' and 'banger exec' the status is the command's own; what banger itself has to say of it begins at 124."""


def contents() -> list[tuple[str, list[tuple[str, str]]]]:
    """What there is, for the first page: titles, and below each the words that are typed and what they mean."""
    daily = [verb for verb in VERBS if any(" " not in alias for alias in verb.aliases) and verb.path.startswith("vm ")]
    shortcuts = [
        (next(alias for alias in verb.aliases if " " not in alias), f"{verb.summary} ({verb.path})") for verb in daily
    ]
    groups = [(group.name, group.summary) for group in GROUPS if not group.hidden]
    single = [(verb.path, verb.summary) for verb in VERBS if " " not in verb.path]
    explain = ("help", "explain a group or a verb: 'banger help vm run'")
    return [("Daily", shortcuts), ("Groups", groups), ("Others", [*single, explain])]


def overall() -> str:
    """The page of 'banger help'."""
    return "\n".join(
        [
            "Usage: banger VERB [OPTIONS] ...",
            "",
            _filled(INTRODUCTION),
            *(line for title, rows in contents() for line in _section(title, rows)),
            *_examples(EXAMPLES),
            "",
            _filled(CONVENTIONS),
            *_section("Exit status", STATUSES),
            "",
            _filled(WHOSE_STATUS),
        ]
    )


def members(group: Group) -> list[tuple[str, str]]:
    """A group's verbs, and the groups below it."""
    verbs = [(verb.path, verb.summary) for verb in group.verbs if group.hidden or not verb.hidden]
    return verbs + [(each.name, each.summary) for each in GROUPS if each.name.startswith(f"{group.name} ")]


def of_group(group: Group) -> str:
    """What a group is for, its 80 % command, its verbs, and what comes next."""
    return "\n".join(
        [
            f"Usage: banger {group.name} VERB [OPTIONS] ...",
            "",
            _filled(group.description),
            *_section("Verbs", members(group)),
            *_examples(group.examples),
            *_section("Next", group.next),
            "",
            f"'banger help {group.verbs[0].path}' explains one verb.",
        ]
    )


def of_verb(verb: Verb) -> str:
    """A verb with everything it takes."""
    lines = [f"Usage: {verb.usage}", "", sentence(verb.summary)]
    if verb.description:
        lines += ["", _filled(verb.description)]
    lines += _section("Arguments", [(each.metavar, explained(each)) for each in verb.positionals])
    lines += _section("Options", [(each.usage, explained(each)) for each in verb.options])
    lines += _examples(verb.examples)
    if verb.aliases:
        lines += ["", "Also: " + ", ".join(f"banger {alias}" for alias in verb.aliases)]
    return "\n".join(lines)


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def explained(argument: Argument) -> str:
    """An argument's help with what else is to be known."""
    notes = ["required"] if argument.required else []
    notes += [" | ".join(argument.choices)] if argument.choices else []
    return argument.help + (f" ({'; '.join(notes)})" if notes else "")


def _filled(text: str) -> str:
    paragraphs = text.split("\n\n")
    return "\n\n".join(textwrap.fill(" ".join(each.split()), WIDTH, break_on_hyphens=False) for each in paragraphs)


def _section(title: str, rows: Sequence[tuple[str, str]]) -> list[str]:
    if not rows:
        return []
    width = min(28, max(len(word) for word, _ in rows)) + 4
    lines = ["", f"{title}:"]
    for word, text in rows:
        head = f"  {word}".ljust(width)
        gap = [head.rstrip()] if len(head) > width else []
        body = textwrap.wrap(text, WIDTH - width, break_on_hyphens=False)
        lines += gap + [((" " * width) if gap or index else head) + part for index, part in enumerate(body)]
    return lines


def _examples(examples: Sequence[str]) -> list[str]:
    return ["", "Examples:", *(f"  {each}" for each in examples)] if examples else []
