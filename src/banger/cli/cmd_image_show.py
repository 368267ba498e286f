"""``banger image show``."""

import time
from argparse import Namespace

from banger.cli.durations import format_age
from banger.cli.terminal import Terminal
from banger.config.sizes import format_size
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would cost a verb a tenth of its start-up
if TYPE_CHECKING:
    from collections.abc import Iterator

    from banger.api.recipe import Built


def run(arguments: Namespace, terminal: Terminal) -> int:
    with Client() as client:
        image = client.image_show(arguments.image)
    if arguments.json:
        terminal.document(image)
        return 0
    config = image.config
    terminal.facts(
        (
            ("name", image.name),
            ("id", image.id),
            ("kind", image.kind),
            ("source", image.source),
            ("digest", image.digest),
            ("architecture", image.architecture),
            ("init", image.init or "none: the agent is PID 1"),
            ("rootfs", image.rootfs),
            ("size", f"{format_size(image.size)}, {format_size(image.allocated)} on disk"),
            ("created", format_age(time.time() - image.created)),
            ("entrypoint", " ".join(config.entrypoint)),
            ("command", " ".join(config.cmd)),
            ("environment", " ".join(config.env)),
            ("directory", config.cwd),
            ("user", config.user),
            *(row for built in image.history for row in _recipe(built)),
        )
    )
    return 0


def _recipe(built: "Built") -> "Iterator[tuple[str, str]]":
    """A recipe that was carried out, each command on a line of its own."""
    yield "built on" if built.base else "built of", built.base or f"Debian {built.suite}"
    yield "description", built.description
    extras = ["systemd"] * built.systemd + ["ssh"] * built.ssh
    yield "packages", " ".join([*(f"({each})" for each in extras), *built.packages])
    yield "files", " ".join(file.path for file in built.files)
    for number, command in enumerate(built.commands, 1):
        yield f"command {number}", " ".join(command.split())
