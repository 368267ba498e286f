"""``banger version``, and ``banger --version`` in one line."""

import platform

import banger
from banger.api.routes import API_VERSION
from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace


def run(arguments: Namespace, terminal: Terminal) -> int:
    facts = {"version": banger.__version__, "api": API_VERSION, "python": platform.python_version()}
    if arguments.json:
        terminal.document(facts)
    else:
        terminal.facts(list(facts.items()))
    return 0


def short(terminal: Terminal) -> int:
    terminal.print(f"banger {banger.__version__}")
    return 0
