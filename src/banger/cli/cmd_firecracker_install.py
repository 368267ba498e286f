"""``banger firecracker install``: becomes the program that installs it."""

import os
from argparse import Namespace

from banger.cli.become import become
from banger.cli.terminal import Terminal


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
