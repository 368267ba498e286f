"""``banger image list``."""

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
    ("kind", "KIND"),
    ("size", "SIZE"),
    ("allocated", "ON DISK"),
    ("id", "ID"),
    ("created", "CREATED"),
    ("source", "SOURCE"),
)


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    if arguments.catalog:
        from banger.cli.catalog import show_catalog

        return show_catalog("image", arguments, terminal)
    with Client() as client:
        document = client.document(routes.IMAGE_LIST)
    now = time.time()

    def row(image: "dict[str, Any]") -> dict[str, object]:
        return {
            **image,
            "id": image["id"][:12],
            "size": format_size(image["size"]),
            "allocated": format_size(image["allocated"]),
            "created": format_age(now - image["created"]),
        }

    return listing.show(document, "images", arguments, terminal, COLUMNS, row)
