"""``banger image register``. The daemon reads the file, so its path must mean the same there."""

import os

from banger.api.image import RegisterImage
from banger.cli.change import carry_out
from banger.cli.terminal import Terminal, cell
from banger.cli.verb import Namespace
from banger.sdk.client import Client


def run(arguments: Namespace, terminal: Terminal) -> int:
    wanted = RegisterImage(
        name=arguments.name,
        path=os.path.abspath(arguments.rootfs),
        kernel=arguments.kernel or "",
        root_owned=arguments.root_owned,
        assets=arguments.guest_assets,
    )
    with Client() as client:
        operation = carry_out(client, client.image_register(wanted), terminal)
        if arguments.json:
            terminal.document(client.image_show(operation.subject))
        else:
            terminal.print(cell(operation.subject))
    return 0
