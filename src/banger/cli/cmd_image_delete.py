"""``banger image delete``: refused while a machine uses it."""

from banger.cli.change import each_target
from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace
from banger.sdk.client import Client


def run(arguments: Namespace, terminal: Terminal) -> int:
    with Client() as client:
        return each_target(
            client,
            arguments.image,
            lambda reference: client.image_show(reference).id,
            client.image_delete,
            terminal,
            json=arguments.json,
        )
