"""The words of the verb table: what a row, an argument and a group are, and what was given for a row's arguments."""

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


class Namespace:
    """What was given: an attribute for each argument of a row, by its name, and ``command``, the guest's."""

    def __init__(self, **values: object) -> None:
        self.__dict__.update(values)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


class Argument:
    """An option (``-d/--detach``, ``--name``) or a positional argument (``VM``).

    ``kind`` is how its value is read: ``flag`` (no value), ``text``, ``size``, ``duration``, ``count``, ``env``
    (K=V, repeatable), ``list`` (text, repeatable). ``many`` is for positionals: ``one``, ``optional``, ``several`` or
    ``any`` number, also none. ``complete`` names what a shell may suggest: ``vm``, ``session`` (of the machine
    before it), ``image``, ``kernel``, ``file``, ``profile``, ``vm-or-file``, ``image-catalog`` and ``kernel-catalog``
    (what can be pulled).
    """

    __slots__ = ("choices", "complete", "flags", "help", "kind", "many", "metavar", "name", "required")

    def __init__(
        self,
        spelling: str,
        help: str,
        *,
        kind: str = "text",
        metavar: str = "",
        many: str = "one",
        choices: "Sequence[str]" = (),
        complete: str = "",
        required: bool = False,
    ) -> None:
        self.flags = tuple(spelling.split("/")) if spelling.startswith("-") else ()
        self.name = (self.flags[-1].lstrip("-") if self.flags else spelling.lower()).replace("-", "_")
        self.help = help
        self.kind = kind
        self.metavar = metavar or ("" if self.flags else spelling)
        self.many = many
        self.choices = tuple(choices)
        self.complete = complete
        self.required = required

    @property
    def positional(self) -> bool:
        return not self.flags

    @property
    def repeats(self) -> bool:
        """Whether it takes all the words that are there."""
        return self.many in ("several", "any")

    @property
    def takes_value(self) -> bool:
        return bool(self.flags) and self.kind != "flag"

    @property
    def usage(self) -> str:
        """How it is written in a usage line."""
        if self.positional:
            return {"one": "{}", "optional": "[{}]", "several": "{}...", "any": "[{}...]"}[self.many].format(
                self.metavar
            )
        return ", ".join(self.flags) + (f" {self.metavar}" if self.takes_value else "")


JSON = Argument("--json", "print one JSON document instead of text", kind="flag")


class Verb:
    """A row. ``path`` is what is typed; the module is ``cmd_`` and the path.

    ``command`` says what may follow ``--``: nothing, a guest command (``optional``) or must (``required``);
    ``passed`` is for words of another program, all that follow the first positional, ``--`` included. With
    ``guest`` the exit status is the guest command's, and banger's own failures are 125 and above.
    """

    __slots__ = ("aliases", "arguments", "command", "description", "examples", "guest", "hidden", "path", "summary")

    def __init__(
        self,
        path: str,
        summary: str,
        *,
        description: str = "",
        arguments: "Sequence[Argument]" = (),
        examples: "Sequence[str]" = (),
        aliases: "Sequence[str]" = (),
        command: str = "",
        guest: bool = False,
        hidden: bool = False,
    ) -> None:
        self.path = path
        self.summary = summary
        self.description = description
        self.arguments = tuple(arguments)
        self.examples = tuple(examples)
        self.aliases = tuple(aliases)
        self.command = command
        self.guest = guest
        self.hidden = hidden

    @property
    def module(self) -> str:
        return "banger.cli.cmd_" + self.path.replace(" ", "_").replace("-", "_")

    @property
    def options(self) -> list[Argument]:
        return [each for each in self.arguments if not each.positional]

    @property
    def positionals(self) -> list[Argument]:
        return [each for each in self.arguments if each.positional]

    @property
    def usage(self) -> str:
        words = ["banger", self.path]
        words += ["[OPTIONS]"] if self.options else []
        words += [each.usage for each in self.positionals]
        words += {
            "": [],
            "optional": ["[-- COMMAND...]"],
            "required": ["[--] COMMAND..."],
            "passed": ["[OPTIONS]", "[-- COMMAND...]"],
        }[self.command]
        return " ".join(words)


class Group:
    """Verbs that share their first words, and the page about them. A hidden one is only shown when asked for.

    ``next`` is what comes after its daily commands: command lines, and what each is for.
    """

    __slots__ = ("description", "examples", "hidden", "name", "next", "summary", "verbs")

    def __init__(
        self,
        name: str,
        summary: str,
        description: str,
        examples: "Sequence[str]",
        verbs: "Sequence[Verb]",
        *,
        next: "Sequence[tuple[str, str]]" = (),
        hidden: bool = False,
    ) -> None:
        self.name = name
        self.summary = summary
        self.description = description
        self.examples = tuple(examples)
        self.verbs = tuple(verbs)
        self.next = tuple(next)
        self.hidden = hidden
