"""``banger vm create``: a machine to come back to."""

from banger.cli import machine
from banger.cli.terminal import Terminal, cell
from banger.cli.verb import Namespace
from banger.sdk.client import Client


def run(arguments: Namespace, terminal: Terminal) -> int:
    with Client() as client:
        _, operation = machine.create(client, machine.request(arguments, start=not arguments.no_start), terminal)
        if arguments.json:
            terminal.document(client.vm_show(operation.subject_id or operation.subject))
        else:
            terminal.print(cell(operation.subject))
    return 0
