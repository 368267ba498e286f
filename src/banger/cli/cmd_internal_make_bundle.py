"""``banger internal make-bundle``: becomes the program that makes one."""

import os

from banger.cli.become import become
from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace


def run(arguments: Namespace, terminal: Terminal) -> int:
    archive = arguments.rootfs_tar
    become(
        "banger.images.bundling",
        {
            "rootfs_tar": archive if archive == "-" else os.path.abspath(archive),
            "name": arguments.name,
            "distro": arguments.distro or "",
            "arch": arguments.arch or "amd64",
            "kernel_ref": arguments.kernel_ref or "",
            "description": arguments.description or "",
            "size": arguments.size,
            "out": os.path.abspath(arguments.out),
            "json": arguments.json,
        },
    )
