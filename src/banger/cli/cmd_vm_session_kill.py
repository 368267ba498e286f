"""``banger vm session kill``: a signal for a session's processes."""

import banger
from banger.api import routes
from banger.sdk.client import Client
from banger.text import printable

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    import signal

    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace
else:
    import _signal as signal  # the part in C, as in `banger.cli.session`


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    number = _number(arguments.signal or "KILL")
    with Client() as client:
        client.document(routes.VM_SESSION_KILL, (arguments.vm, arguments.session), request={"signal": number})
    if arguments.json:
        terminal.document({"vm": arguments.vm, "session": arguments.session, "signal": number})
    return 0


def _number(word: str) -> int:
    """A signal by number or name, with or without ``SIG``. Raises `errors.UsageError`."""
    name = word.upper().removeprefix("SIG")
    number = None if name.startswith("_") else getattr(signal, f"SIG{name}", None)
    if isinstance(number, int):
        return number
    if not (word.isascii() and word.isdigit() and 1 <= int(word) <= 64):
        raise banger.errors.UsageError(detail=f"there is no signal {printable(word, 40)!r}: write TERM or 15")
    return int(word)
