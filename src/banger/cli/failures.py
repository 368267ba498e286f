"""How failures are told: what happened, below it what to do, and the exit status that says the same."""

import banger
from banger.text import printable

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from collections.abc import Sequence

    from banger.cli.terminal import Terminal
    from banger.cli.verb import Verb


class Failures(Exception):
    """Several targets failed, each with its own error."""

    def __init__(self, failures: "Sequence[banger.errors.BangerError]") -> None:
        super().__init__(f"{len(failures)} failed")
        self.failures = list(failures)


def report(error: Exception, verb: "Verb | None", terminal: "Terminal") -> int:
    """Tell what ended a verb; the exit status. Raises what is no failure that banger knows."""
    if isinstance(error, banger.errors.BangerError):
        several = [error]
    elif isinstance(error, Failures):
        several = error.failures
    else:
        raise error
    for each in several:
        tell(each, terminal)
    return _status(several[0], verb)


def tell(error: "banger.errors.BangerError", terminal: "Terminal") -> None:
    """The message, and below it what to do; the id of the operation finds it in the daemon's log."""
    message = "\n".join(printable(line, 2000) for line in error.message.splitlines())
    terminal.say(terminal.paint("banger:", "red", 2) + " " + message)
    hint = "\n".join(printable(line, 2000) for line in error.advice.splitlines())
    operation = f"(operation {printable(error.operation, 64)})" if error.operation else ""
    if hint or operation:
        terminal.say("  " + " ".join(part for part in (hint, operation) if part), "dim")


def _status(error: "banger.errors.BangerError", verb: "Verb | None") -> int:
    if verb is not None and verb.guest and error.exit_status < 124:
        return 125
    return error.exit_status
