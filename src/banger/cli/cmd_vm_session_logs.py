"""``banger vm session logs``: what a session said, to the stream that it said it on."""

import os
from binascii import a2b_base64

from banger import document
from banger.api import routes
from banger.cli import session
from banger.cli.terminal import coloured
from banger.config.sizes import format_size
from banger.sdk.client import Client
from banger.sdk.transport import told

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from collections.abc import Callable

    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace

DESCRIPTORS = {"stdout": session.STDOUT_FD, "stderr": session.STDERR_FD}


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    query = {"follow": "true"} if arguments.follow else {}
    query |= {"stream": arguments.stream} if arguments.stream else {}
    query |= {"tail": str(arguments.tail)} if arguments.tail else {}
    shown = {name: _filter(descriptor) for name, descriptor in DESCRIPTORS.items()}
    where = (arguments.vm, arguments.session)
    with Client() as client, client.open(routes.VM_SESSION_LOGS, where, query=query, quiet=True) as reply:
        for line in reply.lines():
            piece = document.loads(line)
            if piece["data"]:
                name = piece["stream"]
                session.write_all(DESCRIPTORS[name], shown[name](a2b_base64(piece["data"])))
            if piece["error"] is not None:
                raise told(piece["error"])
            if piece["dropped"]:
                size = format_size(piece["dropped"])
                terminal.say(f"{size} more were said; the log keeps the last 1 MiB", "dim")
    return 0


def _filter(descriptor: int) -> "Callable[[bytes], bytes]":
    """What makes it fit for a terminal, where there is one."""
    if not os.isatty(descriptor):
        return bytes
    from banger.cli.cmd_vm_logs import Filter

    return Filter(colour=coloured(descriptor)).feed
