"""``banger image import``. The daemon reads the file or directory, so its path must mean the same there."""

import os

from banger import errors
from banger.api.image import ImportImage
from banger.cli.change import carry_out
from banger.cli.terminal import Terminal, cell
from banger.cli.verb import Namespace
from banger.sdk.client import Client


def run(arguments: Namespace, terminal: Terminal) -> int:
    if (arguments.file is None) == (arguments.dir is None):
        raise errors.UsageError(detail="give either an archive, FILE, or a directory, --dir DIR")
    wanted = ImportImage(
        path=os.path.abspath(arguments.dir if arguments.file is None else arguments.file),
        name=arguments.name,
        size=arguments.size,
        directory=arguments.file is None,
    )
    with Client() as client:
        operation = carry_out(client, client.image_import(wanted), terminal)
        if arguments.json:
            terminal.document(client.image_show(operation.subject))
        else:
            terminal.print(cell(operation.subject))
    return 0
