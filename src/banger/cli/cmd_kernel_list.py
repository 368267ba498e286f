"""``banger kernel list``."""

import time
from argparse import Namespace

from banger.api import routes
from banger.cli.durations import format_age
from banger.cli.terminal import Terminal, cell
from banger.config.sizes import format_size
from banger.sdk.client import Client

COLUMNS = (
    ("name", "NAME"),
    ("release", "RELEASE"),
    ("default", "DEFAULT"),
    ("size", "ON DISK"),
    ("created", "CREATED"),
    ("source", "SOURCE"),
)


def run(arguments: Namespace, terminal: Terminal) -> int:
    if arguments.catalog:
        from banger.cli.catalog import show_catalog

        return show_catalog("kernel", arguments, terminal)
    with Client() as client:
        document = client.document(routes.KERNEL_LIST)
    kernels = document["kernels"]
    if arguments.json:
        terminal.document(document)
    elif arguments.quiet:
        for kernel in kernels:
            terminal.print(cell(kernel["name"]))
    else:
        now = time.time()
        rows = [
            {
                **kernel,
                "default": "yes" if kernel["default"] else "",
                "size": format_size(kernel["size"]),
                "created": format_age(now - kernel["created"]),
            }
            for kernel in kernels
        ]
        terminal.table(rows, COLUMNS)
    return 0
