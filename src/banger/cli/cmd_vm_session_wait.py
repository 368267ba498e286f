"""``banger vm session wait``: until a session has ended, with its status."""

from banger import document
from banger.api import routes
from banger.cli.cmd_vm_session_list import status
from banger.sdk.client import Client
from banger.sdk.transport import told

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from typing import Any

    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    with Client() as client:
        session = until_end(client, (arguments.vm, arguments.session))
    if arguments.json:
        terminal.document(session)
    return status(session)


def until_end(client: Client, where: tuple[str, str]) -> "dict[str, Any]":
    """The session, once it has ended."""
    with client.open(routes.VM_SESSION_WAIT, where, quiet=True) as reply:
        *_, line = reply.lines()
    last: dict[str, Any] = document.loads(line)
    if last["error"] is not None:
        raise told(last["error"])
    ended: dict[str, Any] = last["session"]
    return ended
