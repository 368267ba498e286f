"""The entry point: find the verb, run it, and turn every ending into words and an exit status.

Nothing else prints errors or exits. Exit statuses are in `banger.errors`; a verb whose status is the guest command's
reports failures of banger itself as 125 and above, so that the two are never confused.
"""

import gc
import os
import sys

import banger
from banger.cli.terminal import Terminal
from banger.cli.verb import Group, Verb
from banger.cli.verbs import find
from banger.text import printable

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

PIPE_CLOSED = 128 + 13
INTERRUPTED = 128 + 2

YOUNG_OBJECTS = 100_000
"""How many more objects there are when the collector looks for cycles: a large repository's list has none of them, and
by default it is gone through a hundred times while it is read."""


def command() -> "NoReturn":
    """The program. It ends without the interpreter's own end, which takes apart what the kernel takes back anyway."""
    gc.set_threshold(YOUNG_OBJECTS)
    status = main()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            pass  # of a result, it has been told
    os._exit(status)


def main(words: "Sequence[str] | None" = None) -> int:
    """Run one command line; the status is for the caller to exit with."""
    _stand_in()
    words = list(sys.argv[1:] if words is None else words)
    terminal = Terminal()
    verb: Verb | None = None
    try:
        found, length = find(words)
        if isinstance(found, Verb):
            verb = found
            status = _run(verb, words[length:], terminal)
        else:
            status = _explain(found, words[length:], terminal)
        terminal.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the interpreter flushes stdout once more at its end
        return PIPE_CLOSED
    except KeyboardInterrupt:
        import signal

        signal.signal(signal.SIGINT, signal.SIG_IGN)  # once more would end the interpreter on its way out, by a signal
        terminal.clear()
        return INTERRUPTED
    except Exception as error:
        from banger.cli import failures

        return failures.report(error, verb, terminal)
    return status


def _stand_in() -> None:
    """Put /dev/null in the place of a closed stdin, stdout or stderr, whose number another file would get."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _run(verb: Verb, words: "Sequence[str]", terminal: Terminal) -> int:
    from banger.cli import parser

    if parser.asks_for_help(parser.split(verb, words)[0]):
        from banger.cli import help

        terminal.print(help.of_verb(verb))
        return 0
    try:
        arguments = parser.parse(verb, words)
    except banger.errors.UsageError as error:
        raise banger.errors.UsageError(detail=f"{error}; see 'banger help {verb.path}'") from None
    status: int = __import__(verb.module, fromlist=["run"]).run(arguments, terminal)
    return status


def _explain(group: Group | None, words: "Sequence[str]", terminal: Terminal) -> int:
    """Help, the version, or what was meant by a word that is no verb."""
    from banger.cli import help

    asked = not words or words[0] in ("-h", "--help", "help")
    if group is not None and asked:
        terminal.print(help.of_group(group))
        return 0
    if group is None and words and words[0] == "help" and len(words) > 1:
        found, length = find(words[1:])
        if isinstance(found, Verb):
            terminal.print(help.of_verb(found))
            return 0
        return _explain(found, ["help"] if found else words[1 + length :], terminal)
    if group is None and asked:
        terminal.print(help.overall())
        return 0
    if words[0] == "--version":
        from banger.cli import cmd_version

        return cmd_version.short(terminal)
    raise _unknown(group, words[0])


def _unknown(group: Group | None, word: str) -> "banger.errors.UsageError":
    import difflib

    from banger.cli.verbs.table import GROUPS, VERBS

    prefix = f"{group.name} " if group else ""
    known = [name.removeprefix(prefix) for verb in VERBS if not verb.hidden for name in (verb.path, *verb.aliases)]
    known += [] if group else [each.name for each in GROUPS if not each.hidden]
    near = difflib.get_close_matches(word, known, 1)
    guess = f"; do you mean 'banger {prefix}{near[0]}'?" if near else f"; see 'banger {prefix}--help'"
    return banger.errors.UsageError(detail=f"there is no verb 'banger {prefix}{printable(word, 40)}'{guess}")


if __name__ == "__main__":
    command()
