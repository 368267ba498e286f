"""``banger daemon stop``: returns when the daemon has ended."""

import contextlib
import os
import time

from banger import errors
from banger.api import routes
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace

PATIENCE = 30.0


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    with Client(start=False) as client:
        try:
            status = client.document(routes.DAEMON_STATUS)
        except errors.DaemonUnreachable:
            terminal.say("no daemon runs")
            return 0
        process = None
        with contextlib.suppress(ProcessLookupError):
            process = os.pidfd_open(status["pid"])
        client.daemon_stop()
    if process is not None:
        _wait(process)
    goes_on = f"; machines that go on: {status['running']}" if status["running"] else ""
    terminal.say(f"the daemon (pid {status['pid']}) has ended{goes_on}")
    return 0


def _wait(process: int) -> None:
    """Wait for the end of a process, which makes its pidfd readable."""
    import select

    deadline = time.monotonic() + PATIENCE
    try:
        if not select.select([process], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise errors.TimedOut(what="the daemon's end", seconds=PATIENCE)
    finally:
        os.close(process)
