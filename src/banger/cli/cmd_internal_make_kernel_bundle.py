"""``banger internal make-kernel-bundle``: becomes the program that makes one."""

import os

from banger.cli.become import become
from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace


def run(arguments: Namespace, terminal: Terminal) -> int:
    become(
        "banger.kernels.bundling",
        {
            "directory": os.path.abspath(getattr(arguments, "from")),
            "name": arguments.name,
            "description": arguments.description or "",
            "out": os.path.abspath(arguments.out),
            "json": arguments.json,
        },
    )
