"""``banger vm session show``."""

import time

from banger.api import routes
from banger.cli.cmd_vm_session_list import state
from banger.cli.durations import format_age
from banger.config.sizes import format_size
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from typing import Any

    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    with Client() as client:
        session = client.document(routes.VM_SESSION_SHOW, (arguments.vm, arguments.session))
    if arguments.json:
        terminal.document(session)
        return 0
    now = time.time()
    terminal.facts(
        (
            ("name", session["name"]),
            ("id", session["id"]),
            ("machine", session["vm"]),
            ("state", state(session)),
            ("command", " ".join(session["argv"])),
            ("directory", session["cwd"]),
            ("user", session["user"]),
            ("pid", session["pid"]),
            ("terminal", "yes" if session["tty"] else None),
            ("stdin", "open" if session["stdin"] else None),
            ("started", format_age(now - session["started"])),
            ("ended", session["ended"] and format_age(now - session["ended"])),
            ("log", _log(session)),
        )
    )
    return 0


def _log(session: "dict[str, Any]") -> str:
    told = f"{format_size(session['stdout_bytes'])} of stdout, {format_size(session['stderr_bytes'])} of stderr"
    return told + (f"; {format_size(session['dropped_bytes'])} not kept" if session["dropped_bytes"] else "")
