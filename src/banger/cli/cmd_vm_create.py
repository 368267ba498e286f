"""``banger vm create``: a machine to come back to."""

from banger.api import routes
from banger.cli import machine
from banger.cli.terminal import cell
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    with Client() as client:
        _, change = machine.create(client, machine.request(arguments, start=not arguments.no_start), terminal)
        if arguments.json:
            terminal.document(client.document(routes.VM_SHOW, change.subject_id or change.subject))
        else:
            terminal.print(cell(change.subject))
    return 0
