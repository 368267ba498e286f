"""``banger kernel import``. The daemon reads the directory, so its path must mean the same there."""

import os

from banger.api import routes
from banger.cli.change import make

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    wanted = {"name": arguments.name, "path": os.path.abspath(getattr(arguments, "from"))}
    return make(arguments, terminal, routes.KERNEL_IMPORT, routes.KERNEL_SHOW, request=wanted)
