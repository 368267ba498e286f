"""What may follow on a command line: the answer behind every shell's completion.

The shells' scripts only ask; the verb table answers here, with names of machines, images and kernels from a daemon
that runs. None is started for it, and one that does not answer at once means no suggestions.
"""

from collections.abc import Callable, Iterator, Sequence

from banger.cli.verb import Argument, Verb
from banger.cli.verbs import find
from banger.cli.verbs.table import GROUPS, VERBS

Suggestion = tuple[str, str]
"""A word and what it means."""

FILES: Suggestion = (":files", "")
"""The shell's own completion of file names is asked for."""

Names = Callable[[str], Sequence[str]]
"""Names of a kind (``vm``, ``image``, ``kernel``, ``session VM``) that exist."""


def suggestions(words: Sequence[str], names: Names) -> list[Suggestion]:
    """Suggestions for the last of ``words``, which is unfinished and may be empty."""
    *before, current = words or [""]
    if before[:1] == ["help"]:
        before = before[1:]
    found, length = find(before)
    if isinstance(found, Verb):
        every = _after_verb(found, before[length:], current, names)
    elif found is not None:
        every = iter(_next_words(before).items())
    else:
        every = _first_words() if not before else iter(())
    return [each for each in every if each == FILES or each[0].startswith(current)]


def _first_words() -> Iterator[Suggestion]:
    for verb in VERBS:
        if not verb.hidden:
            yield from ((name, verb.summary) for name in (verb.path, *verb.aliases) if " " not in name)
    yield from ((group.name, group.summary) for group in GROUPS if not group.hidden and " " not in group.name)
    yield "help", "explain a group or a verb"


def _next_words(before: Sequence[str]) -> dict[str, str]:
    """What may follow the words of a group that have been typed, below which there may be another group."""
    found: dict[str, str] = {}
    for name, summary in [(each.name, each.summary) for each in GROUPS] + [(each.path, each.summary) for each in VERBS]:
        words = name.split()
        if len(words) > len(before) and words[: len(before)] == list(before):
            found.setdefault(words[len(before)], summary)
    return found


def _after_verb(verb: Verb, before: Sequence[str], current: str, names: Names) -> Iterator[Suggestion]:
    options = {flag: each for each in verb.options for flag in each.flags}
    positionals: list[str] = []
    awaited: Argument | None = None
    for word in before:
        if word == "--":
            return
        if awaited is not None:
            awaited = None
        elif word in options:
            awaited = options[word] if options[word].takes_value else None
        elif not word.startswith("-"):
            positionals.append(word)
    if awaited is not None:
        yield from _values(awaited, current, names)
    elif _command_begun(verb, positionals, current):
        return
    elif current.startswith("--") and "=" in current:
        flag, _, value = current.partition("=")
        if flag in options and options[flag].takes_value:
            for each in _values(options[flag], value, names):
                yield each if each == FILES else (f"{flag}={each[0]}", each[1])
    elif current.startswith("-"):
        used = {each.name for flag, each in options.items() if flag in before and each.kind not in ("env", "list")}
        yield from ((each.flags[-1], each.help) for each in verb.options if each.name not in used)
        yield "--help", "explain the verb"
    else:
        yield from _positional(verb, positionals, current, names)


def _command_begun(verb: Verb, positionals: Sequence[str], current: str) -> bool:
    """Whether a word is another program's already: behind the machine's name and no option, see `banger.cli.parser`."""
    if verb.command == "required":
        return len(positionals) > 1 or (len(positionals) == 1 and not current.startswith("-"))
    return verb.command == "passed" and bool(positionals)


def _positional(verb: Verb, typed: Sequence[str], current: str, names: Names) -> Iterator[Suggestion]:
    wanted, number = verb.positionals, len(typed)
    if wanted and (number < len(wanted) or wanted[-1].repeats):
        argument = wanted[min(number, len(wanted) - 1)]
        if argument.complete == "session":
            yield from ((name, "session") for name in names(f"session {typed[0]}"))
        else:
            yield from _values(argument, current, names)


def _values(argument: Argument, current: str, names: Names) -> Iterator[Suggestion]:
    if argument.choices:
        yield from ((choice, "") for choice in argument.choices)
    elif argument.complete == "file":
        yield FILES
    elif argument.complete == "vm-or-file":
        yield FILES
        if "/" not in current and ":" not in current:
            yield from ((f"{name}:", "machine") for name in names("vm"))
    elif argument.complete:
        noun = argument.complete.partition("-")[0]
        yield from ((name, noun) for name in names(argument.complete))
