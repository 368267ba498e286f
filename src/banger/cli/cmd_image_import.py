"""``banger image import``. The daemon reads the file or directory, so its path must mean the same there."""

import os

import banger
from banger.api import routes
from banger.cli.change import make

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    if (arguments.file is None) == (arguments.dir is None):
        raise banger.errors.UsageError(detail="give either an archive, FILE, or a directory, --dir DIR")
    wanted = {
        "path": os.path.abspath(arguments.dir if arguments.file is None else arguments.file),
        "name": arguments.name,
        "size": arguments.size,
        "directory": arguments.file is None,
    }
    return make(arguments, terminal, routes.IMAGE_IMPORT, routes.IMAGE_SHOW, request=wanted)
