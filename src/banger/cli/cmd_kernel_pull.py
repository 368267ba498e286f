"""``banger kernel pull``."""

from banger.api.kernel import PullKernel
from banger.cli.change import carry_out
from banger.cli.terminal import Terminal, cell
from banger.cli.verb import Namespace
from banger.sdk.client import Client


def run(arguments: Namespace, terminal: Terminal) -> int:
    with Client() as client:
        wanted = PullKernel(kernel=arguments.kernel, name=arguments.name, force=arguments.force)
        operation = carry_out(client, client.kernel_pull(wanted), terminal)
        if arguments.json:
            terminal.document(client.kernel_show(operation.subject))
        else:
            terminal.print(cell(operation.subject))
    return 0
