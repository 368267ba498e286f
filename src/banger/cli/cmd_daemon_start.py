"""``banger daemon start``: does nothing when one answers."""

from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace
from banger.sdk.client import Client


def run(arguments: Namespace, terminal: Terminal) -> int:
    with Client() as client:
        status = client.daemon_status()
    if arguments.json:
        terminal.document(status)
    else:
        terminal.print(f"the daemon runs (pid {status.pid}) at {status.socket}")
    return 0
