"""``banger vm session list``."""

import time

from banger.api import routes
from banger.cli import listing
from banger.cli.durations import format_age
from banger.config.sizes import format_size
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from typing import Any

    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace

COLUMNS = (
    ("name", "NAME"),
    ("id", "ID"),
    ("state", "STATE"),
    ("pid", "PID"),
    ("started", "STARTED"),
    ("ended", "ENDED"),
    ("log", "LOG"),
    ("command", "COMMAND"),
)


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    with Client() as client:
        document = client.document(routes.VM_SESSION_LIST, arguments.vm)
    if arguments.quiet and not arguments.json:
        for each in document["sessions"]:
            terminal.print(each["name"] or each["id"])
        return 0
    now = time.time()

    def row(session: "dict[str, Any]") -> dict[str, object]:
        return {
            **session,
            "state": state(session),
            "started": format_age(now - session["started"]),
            "ended": session["ended"] and format_age(now - session["ended"]),
            "log": format_size(session["stdout_bytes"] + session["stderr_bytes"]),
            "command": " ".join(session["argv"]),
        }

    return listing.show(document, "sessions", arguments, terminal, COLUMNS, row)


def state(session: "dict[str, Any]") -> str:
    """With how it ended."""
    if session["state"] == "exited":
        return f"exited ({session['exit_code']})"
    if session["timed_out"]:
        return "killed (time limit)"
    return "running" if session["state"] == "running" else f"killed (signal {session['signal']})"


def status(session: "dict[str, Any]") -> int:
    """The exit status that says how it ended (see `banger.errors`)."""
    if session["timed_out"]:
        return 124
    return 128 + int(session["signal"]) if session["signal"] is not None else int(session["exit_code"] or 0)
