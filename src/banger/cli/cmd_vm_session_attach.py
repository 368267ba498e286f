"""``banger vm session attach``: this terminal at a session, until either is left."""

import os

from banger.api import routes
from banger.cli import session
from banger.sdk.client import Client
from banger.sdk.exec import Command

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    where = (arguments.vm, arguments.session)
    with Client() as client:
        found = client.document(routes.VM_SESSION_SHOW, where)
        feeds = found["stdin"] and not arguments.read_only
        raw = feeds and found["tty"] and os.isatty(session.STDIN_FD)
        rows, cols = session.size()
        size = {"rows": rows, "cols": cols} if raw else {}
        command = Command(client.transport, where, {"stdin": feeds, "tail": rows, **size}, routes.VM_SESSION_ATTACH)
        left = session.attach(command, stdin=feeds, raw=raw)
    if left:
        terminal.say("\r\nleft; the session goes on")
        return 0
    return session.status(command)
