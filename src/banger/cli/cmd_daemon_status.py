"""``banger daemon status``: looks, and never starts one.

In the document, ``state`` is ``running`` or ``stopped``; a running daemon adds all that it says of itself.
"""

import time

import banger
from banger.api import routes
from banger.cli.durations import format_duration
from banger.paths import Paths
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    paths = Paths.from_environment()
    try:
        with Client(start=False) as client:
            status = client.document(routes.DAEMON_STATUS)
    except banger.errors.DaemonUnreachable as error:
        if arguments.json:
            terminal.document({"state": "stopped", "socket": paths.socket, "log": paths.daemon_log})
        else:
            terminal.print(f"no daemon runs: {error}")
        return banger.errors.NotFound.exit_status
    if arguments.json:
        terminal.document({"state": "running", **status})
        return 0
    terminal.facts(
        (
            ("pid", status["pid"]),
            ("socket", status["socket"]),
            ("log", status["log"]),
            ("version", f"{status['version']} (api {status['api']})"),
            ("uid", status["uid"]),
            ("up", format_duration(time.time() - status["started"])),
            ("machines", f"{status['machines']}, {status['running']} running"),
        )
    )
    return 0
