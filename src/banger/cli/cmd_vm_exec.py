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
            from banger.cli import cmd_vm_session_start

            return cmd_vm_session_start.start(client, arguments.vm, request, terminal, arguments.json)
        capture = session.Capture() if arguments.json else None
        command = session.run(client, arguments.vm, request, capture)
    if capture is not None:
        terminal.document(guest_command.document(arguments.vm, command, capture))
    return session.status(command)
