"""``banger daemon status``: looks, and never starts one.

In the document, ``state`` is ``running`` or ``stopped``; a running daemon adds all that it says of itself.
"""

import time

from banger import errors
from banger.cli.durations import format_duration
from banger.cli.terminal import Terminal, plain
from banger.cli.verb import Namespace
from banger.paths import Paths
from banger.sdk.client import Client

NOT_RUNNING = errors.NotFound.exit_status


def run(arguments: Namespace, terminal: Terminal) -> int:
    paths = Paths.from_environment()
    try:
        with Client(start=False) as client:
            status = client.daemon_status()
    except errors.DaemonUnreachable as error:
        if arguments.json:
            terminal.document({"state": "stopped", "socket": paths.socket, "log": paths.daemon_log})
        else:
            terminal.print(f"no daemon runs: {error}")
        return NOT_RUNNING
    if arguments.json:
        found = plain(status)
        assert isinstance(found, dict)
        terminal.document({"state": "running", **found})
        return 0
    terminal.facts(
        (
            ("pid", status.pid),
            ("socket", status.socket),
            ("log", status.log),
            ("version", f"{status.version} (api {status.api})"),
            ("uid", status.uid),
            ("up", format_duration(time.time() - status.started)),
            ("machines", f"{status.machines}, {status.running} running"),
        )
    )
    return 0
