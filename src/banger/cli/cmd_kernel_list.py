"""``banger kernel list``."""

import time

from banger.api import routes
from banger.cli import listing
from banger.cli.durations import format_age
from banger.config.sizes import format_size
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from typing import Any

    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace

COLUMNS = (
    ("name", "NAME"),
    ("release", "RELEASE"),
    ("default", "DEFAULT"),
    ("size", "ON DISK"),
    ("created", "CREATED"),
    ("source", "SOURCE"),
)


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    if arguments.catalog:
        from banger.cli.catalog import show_catalog

        return show_catalog("kernel", arguments, terminal)
    with Client() as client:
        document = client.document(routes.KERNEL_LIST)
    now = time.time()

    def row(kernel: "dict[str, Any]") -> dict[str, object]:
        return {
            **kernel,
            "default": "yes" if kernel["default"] else "",
            "size": format_size(kernel["size"]),
            "created": format_age(now - kernel["created"]),
        }

    return listing.show(document, "kernels", arguments, terminal, COLUMNS, row)
