"""``banger vm exec``: a command in a machine that runs. Works on plain data, as `banger.cli.cmd_vm_list` does."""

from banger.cli import guest_command, session
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    with Client() as client:
        request = guest_command.request(arguments)
        if arguments.detach:
            return _detach(client, arguments, {**request, "detach": True, "stdin": False}, terminal)
        capture = session.Capture() if arguments.json else None
        command = session.run(client, arguments.vm, request, capture)
    if capture is not None:
        terminal.document(guest_command.document(arguments.vm, command, capture))
    return session.status(command)


def _detach(client: Client, arguments: "Namespace", request: "dict[str, object]", terminal: "Terminal") -> int:
    with client.vm_exec(arguments.vm, request) as command:
        command.wait()
    if arguments.json:
        terminal.document({"vm": arguments.vm, "session": command.session})
    else:
        terminal.print(command.session or "")
    return 0
