"""``banger config init``: a file of every setting, none of them in force, where there is none yet."""

import os

import banger
from banger.paths import Paths

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    from banger.config.template import template

    if arguments.print:
        terminal.print(template().rstrip("\n"))
        return 0
    path = Paths.from_environment().config_file
    try:
        os.makedirs(os.path.dirname(path), mode=0o755 if os.geteuid() == 0 else 0o700, exist_ok=True)
        with open(path, "x", encoding="utf-8") as file:
            file.write(template())
    except FileExistsError:
        there = banger.errors.AlreadyExists(kind="file", name=path)
        there.advise("'banger config init --print' shows what it could say")
        raise there from None
    except OSError as error:
        raise banger.errors.from_os(error, path) from error
    terminal.print(path)
    return 0
