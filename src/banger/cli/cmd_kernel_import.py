"""``banger kernel import``. The daemon reads the directory, so its path must mean the same there."""

import os

from banger.api.kernel import ImportKernel
from banger.cli.change import carry_out
from banger.cli.terminal import Terminal, cell
from banger.cli.verb import Namespace
from banger.sdk.client import Client


def run(arguments: Namespace, terminal: Terminal) -> int:
    wanted = ImportKernel(name=arguments.name, path=os.path.abspath(getattr(arguments, "from")))
    with Client() as client:
        operation = carry_out(client, client.kernel_import(wanted), terminal)
        if arguments.json:
            terminal.document(client.kernel_show(operation.subject))
        else:
            terminal.print(cell(operation.subject))
    return 0
