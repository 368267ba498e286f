"""``banger vm session start``, and ``banger exec --detach``, which is the same without a name."""

from banger.api import routes
from banger.cli import guest_command
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from typing import Any

    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    request = {**guest_command.request(arguments), "name": arguments.name}
    with Client() as client:
        start(client, arguments.vm, request, terminal, arguments.json)
    return 0


def start(client: Client, vm: str, request: dict[str, object], terminal: "Terminal", json: bool) -> "dict[str, Any]":
    """Start a session and tell its name or id, or all of it, which is also returned."""
    session: dict[str, Any] = client.document(routes.VM_SESSION_START, vm, request=request)
    if json:
        terminal.document(session)
    else:
        terminal.print(session["name"] or session["id"])
    return session
