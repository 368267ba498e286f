"""``banger kernel show``."""

import time

from banger.api import routes
from banger.cli.durations import format_age
from banger.config.sizes import format_size
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    with Client() as client:
        kernel = client.document(routes.KERNEL_SHOW, arguments.kernel)
    if arguments.json:
        terminal.document(kernel)
        return 0
    terminal.facts(
        (
            ("name", kernel["name"]),
            ("release", kernel["release"]),
            ("architecture", kernel["architecture"]),
            ("source", kernel["source"]),
            ("default", "yes" if kernel["default"] else "no"),
            ("directory", kernel["directory"]),
            ("size", format_size(kernel["size"])),
            ("created", format_age(time.time() - kernel["created"])),
        )
    )
    return 0
