"""``banger image pull``."""

from banger.api.image import PullImage
from banger.cli.change import carry_out
from banger.cli.terminal import Terminal, cell
from banger.cli.verb import Namespace
from banger.sdk.client import Client


def run(arguments: Namespace, terminal: Terminal) -> int:
    wanted = PullImage(reference=arguments.reference, name=arguments.name, size=arguments.size, force=arguments.force)
    with Client() as client:
        operation = carry_out(client, client.image_pull(wanted), terminal)
        if arguments.json:
            terminal.document(client.image_show(operation.subject))
        else:
            terminal.print(cell(operation.subject))
    return 0
