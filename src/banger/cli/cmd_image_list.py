"""``banger image list``."""

import time
from argparse import Namespace

from banger.api import routes
from banger.cli.durations import format_age
from banger.cli.terminal import Terminal, cell
from banger.config.sizes import format_size
from banger.sdk.client import Client

COLUMNS = (
    ("name", "NAME"),
    ("kind", "KIND"),
    ("size", "SIZE"),
    ("allocated", "ON DISK"),
    ("id", "ID"),
    ("created", "CREATED"),
    ("source", "SOURCE"),
)


def run(arguments: Namespace, terminal: Terminal) -> int:
    if arguments.catalog:
        from banger.cli.catalog import show_catalog

        return show_catalog("image", arguments, terminal)
    with Client() as client:
        document = client.document(routes.IMAGE_LIST)
    images = document["images"]
    if arguments.json:
        terminal.document(document)
    elif arguments.quiet:
        for image in images:
            terminal.print(cell(image["name"]))
    else:
        now = time.time()
        rows = [
            {
                **image,
                "id": image["id"][:12],
                "size": format_size(image["size"]),
                "allocated": format_size(image["allocated"]),
                "created": format_age(now - image["created"]),
            }
            for image in images
        ]
        terminal.table(rows, COLUMNS)
    return 0
