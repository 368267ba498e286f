"""From words to values, by the row of the one verb that was chosen.

Words after ``--`` are a guest command and are never looked at. Of a verb that requires a command, it also begins at the
first word behind the machine's name that is no option: ``banger exec web -it ls -l``. One that passes its words on to
another program ends its own at the name, and keeps the ``--`` among them.

Options are written as everywhere: ``--name X``, ``--name=X``, ``-n X``, ``-nX``, ``-it`` for ``-i -t``. They are never
abbreviated, and may stand between positional arguments. A value may begin with a hyphen when it is a number or has a
space in it. This is no more than the table needs: argparse takes longer to load than Python to start.
"""

import banger
from banger.cli.verb import Argument, Namespace, Verb

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from collections.abc import Sequence


def split(verb: Verb, words: "Sequence[str]") -> tuple[list[str], list[str]]:
    """The words that are banger's own, and those of the guest's command."""
    valued = {flag for each in verb.options if each.takes_value for flag in each.flags}
    position, named = 0, False
    while position < len(words):
        word = words[position]
        if word == "--":
            return list(words[:position]), list(words[position + 1 :])
        if word.startswith("-") and word != "-":
            position += 2 if word in valued or _ends_valued(word, valued) else 1
        elif named and verb.command == "required":
            return list(words[:position]), list(words[position:])
        elif verb.command == "passed":
            return list(words[: position + 1]), list(words[position + 1 :])
        else:
            position, named = position + 1, True
    return list(words), []


def _ends_valued(word: str, valued: set[str]) -> bool:
    """Whether a cluster of short options (``-ie``) ends with one whose value is the next word."""
    if word.startswith("--") or len(word) < 3:
        return False
    first = next((index for index, letter in enumerate(word[1:], 1) if f"-{letter}" in valued), 0)
    return first == len(word) - 1


def asks_for_help(words: "Sequence[str]") -> bool:
    return "-h" in words or "--help" in words


def parse(verb: Verb, words: "Sequence[str]") -> Namespace:
    """The values of a verb's arguments, and the guest's ``command``. Raises `errors.UsageError`."""
    own, command = split(verb, words)
    if command and not verb.command:
        own, command = [*own, "--", *command], []
    values = _Reader(verb, own).read()
    if verb.command == "required" and not command:
        raise banger.errors.UsageError(detail="say which command to run")
    for argument in verb.arguments:
        _convert(values, argument)
    return Namespace(**values, command=command)


class _Reader:
    """The own words of one verb, read from left to right."""

    def __init__(self, verb: Verb, words: "Sequence[str]") -> None:
        self._verb = verb
        self._words = words
        self._options = {flag: each for each in verb.options for flag in each.flags}
        self._places = None if any(each.repeats for each in verb.positionals) else len(verb.positionals)
        self._positional: list[str] = []
        self._unknown: list[str] = []
        self._next = 0
        self.values: dict[str, object] = {}
        for each in verb.arguments:
            several = each.kind in ("env", "list") or each.many == "any"
            self.values[each.name] = False if each.kind == "flag" else [] if several else None

    def read(self) -> dict[str, object]:
        words = self._words
        while self._next < len(words):
            word = words[self._next]
            self._next += 1
            if word == "--":
                for each in words[self._next :]:
                    self._place(each)
                break
            if not self._is_option(word):
                self._place(word)
            elif word.startswith("--"):
                self._long(word)
            else:
                self._short(word)
        self._assign()
        return self.values

    def _is_option(self, word: str) -> bool:
        """Whether a word can only be an option: one that this verb has, or one that looks like no value either."""
        if word[:1] != "-" or word == "-":
            return False
        known = word.partition("=")[0] if word.startswith("--") else word[:2]
        return known in self._options or not (" " in word or _is_number(word))

    def _place(self, word: str) -> None:
        room = self._places is None or len(self._positional) < self._places
        (self._positional if room else self._unknown).append(word)

    def _long(self, word: str) -> None:
        flag, equals, value = word.partition("=")
        option = self._options.get(flag)
        if option is None:
            self._unknown.append(word)
        elif option.takes_value:
            self._set(option, value if equals else self._following(option))
        elif equals:
            raise banger.errors.UsageError(detail=f"argument {_spelt(option)}: ignored explicit argument {value!r}")
        else:
            self._set(option, True)

    def _short(self, word: str) -> None:
        for index, letter in enumerate(word[1:], 2):
            option = self._options.get(f"-{letter}")
            if option is None:
                self._unknown.append(word if index == 2 else f"-{word[index - 1 :]}")
                return
            if option.takes_value:
                self._set(option, word[index:].removeprefix("=") if word[index:] else self._following(option))
                return
            self._set(option, True)

    def _following(self, option: Argument) -> str:
        """The next word, as an option's value."""
        if self._next == len(self._words) or self._is_option(self._words[self._next]):
            raise banger.errors.UsageError(detail=f"argument {_spelt(option)}: expected one argument")
        self._next += 1
        return self._words[self._next - 1]

    def _set(self, option: Argument, value: str | bool) -> None:
        if isinstance(value, str):
            _chosen(option, value)
        before = self.values[option.name]
        self.values[option.name] = [*before, value] if isinstance(before, list) else value

    def _assign(self) -> None:
        """Give positional arguments their words. Raises for what is missing, and for what nobody asked for."""
        rest = self._positional
        missing = []
        for each in self._verb.arguments:
            if not each.positional:
                if each.required and self.values[each.name] is None:
                    missing.append(_spelt(each))
            elif each.repeats and rest:
                self.values[each.name], rest = rest, []
            elif rest:
                self.values[each.name], rest = _chosen(each, rest[0]), rest[1:]
            elif each.many not in ("optional", "any"):
                missing.append(each.metavar)
        if missing:
            raise banger.errors.UsageError(detail=f"the following arguments are required: {', '.join(missing)}")
        if self._unknown:
            where = "; another program's options follow the name" if self._verb.command == "passed" else ""
            raise banger.errors.UsageError(detail=f"unrecognized arguments: {' '.join(self._unknown)}{where}")


def _spelt(argument: Argument) -> str:
    return "/".join(argument.flags)


def _is_number(word: str) -> bool:
    whole, _, fraction = word[1:].partition(".")
    return (whole + fraction).isdecimal() and (fraction.isdecimal() or not word.endswith("."))


def _chosen(argument: Argument, word: str) -> str:
    if argument.choices and word not in argument.choices:
        known = ", ".join(map(repr, argument.choices))
        which = argument.metavar if argument.positional else _spelt(argument)
        detail = f"argument {which}: invalid choice: {word!r} (choose from {known})"
        raise banger.errors.UsageError(detail=detail)
    return word


def _convert(values: dict[str, object], argument: Argument) -> None:
    value = values[argument.name]
    if value is None or argument.kind in ("flag", "text", "list"):
        return
    try:
        values[argument.name] = _read(argument.kind, value)
    except banger.errors.UsageError as error:
        raise banger.errors.UsageError(detail=f"{argument.flags[-1]}: {error}") from None


def _read(kind: str, value: object) -> object:
    if isinstance(value, list):
        return _environment(value)
    if kind == "count":
        return _count(str(value))
    if kind == "size":
        from banger.config.sizes import parse_size

        return parse_size(str(value))
    from banger.cli.durations import parse_duration

    return parse_duration(str(value))


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise banger.errors.UsageError(detail=f"{text!r} is not a number above 0")
    return int(text)


def _environment(pairs: "Sequence[str]") -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise banger.errors.UsageError(detail=f"{pair!r} is not of the form K=V")
        found[name] = value
    return found
