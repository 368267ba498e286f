"""``banger image build``."""

from argparse import Namespace

from banger.api.image import BuildImage
from banger.cli.change import carry_out
from banger.cli.terminal import Terminal, cell
from banger.sdk.client import Client


def run(arguments: Namespace, terminal: Terminal) -> int:
    wanted = BuildImage(
        name=arguments.name,
        suite=arguments.suite or "bookworm",
        packages=arguments.package,
        mirror=arguments.mirror,
        size=arguments.size,
    )
    with Client() as client:
        operation = carry_out(client, client.image_build(wanted), terminal)
        if arguments.json:
            terminal.document(client.image_show(operation.subject))
        else:
            terminal.print(cell(operation.subject))
    return 0
