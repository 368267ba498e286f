"""``banger image register``. The daemon reads the file, so its path must mean the same there."""

import os

from banger.api import routes
from banger.cli.change import make

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    wanted = {
        "name": arguments.name,
        "path": os.path.abspath(arguments.rootfs),
        "kernel": arguments.kernel or "",
        "root_owned": arguments.root_owned,
        "assets": arguments.guest_assets,
    }
    return make(arguments, terminal, routes.IMAGE_REGISTER, routes.IMAGE_SHOW, request=wanted)
