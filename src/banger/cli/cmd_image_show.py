"""``banger image show``."""

import time

from banger.api.image import WorkSeed
from banger.cli.durations import format_age
from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace
from banger.config.sizes import format_size
from banger.sdk.client import Client


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
            ("kernel", image.kernel or "the default"),
            ("rootfs", image.rootfs),
            ("managed", "yes" if image.managed else "no: the file is its owner's"),
            ("size", f"{format_size(image.size)}, {format_size(image.allocated)} on disk"),
            ("work seed", _seed(image.work_seed)),
            ("created", format_age(time.time() - image.created)),
            ("entrypoint", " ".join(config.entrypoint)),
            ("command", " ".join(config.cmd)),
            ("environment", " ".join(config.env)),
            ("directory", config.cwd),
            ("user", config.user),
            *(("history" if number == 0 else "", step.text) for number, step in enumerate(image.steps)),
        )
    )
    return 0


def _seed(seed: WorkSeed | None) -> str:
    if seed is None:
        return "not made yet"
    return f"at least {format_size(seed.least)}, {format_size(seed.allocated)} on disk, {seed.key or 'no key'}"
