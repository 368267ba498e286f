"""``banger firecracker install``: becomes the program that installs it."""

import os

from banger.cli.become import become
from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace


def run(arguments: Namespace, terminal: Terminal) -> int:
    source = getattr(arguments, "from") or ""
    become(
        "banger.system.firecracker",
        {
            "version": arguments.version or "",
            "source": source if "://" in source or not source else os.path.abspath(source),
            "sha256": arguments.sha256 or "",
            "json": arguments.json,
        },
    )
