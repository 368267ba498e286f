"""``banger image show``. What `banger.api.image.Image` has defaults for may be left out by an older daemon."""

import time

from banger.api import routes
from banger.cli.durations import format_age
from banger.config.sizes import format_size
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from typing import Any

    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    with Client() as client:
        image = client.document(routes.IMAGE_SHOW, arguments.image)
    if arguments.json:
        terminal.document(image)
        return 0
    config = image.get("config", {})
    terminal.facts(
        (
            ("name", image["name"]),
            ("id", image["id"]),
            ("kind", image["kind"]),
            ("source", image["source"]),
            ("digest", image["digest"]),
            ("architecture", image["architecture"]),
            ("init", image["init"] or "none: the agent is PID 1"),
            ("kernel", image.get("kernel") or "the default"),
            ("rootfs", image["rootfs"]),
            ("managed", "yes" if image.get("managed", True) else "no: the file is its owner's"),
            ("size", f"{format_size(image['size'])}, {format_size(image['allocated'])} on disk"),
            ("work seed", _seed(image.get("work_seed"))),
            ("created", format_age(time.time() - image["created"])),
            ("entrypoint", " ".join(config.get("entrypoint", ()))),
            ("command", " ".join(config.get("cmd", ()))),
            ("environment", " ".join(config.get("env", ()))),
            ("directory", config.get("cwd")),
            ("user", config.get("user")),
            *(("history" if number == 0 else "", step["text"]) for number, step in enumerate(image.get("steps", ()))),
        )
    )
    return 0


def _seed(seed: "dict[str, Any] | None") -> str:
    if seed is None:
        return "not made yet"
    return f"{format_size(seed['size'])}, {format_size(seed['allocated'])} on disk, {seed.get('key') or 'no key'}"
