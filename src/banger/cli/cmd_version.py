"""``banger version``, and ``banger --version`` in one line."""

import platform
from argparse import Namespace

import banger
from banger.api.routes import API_VERSION
from banger.cli.terminal import Terminal


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
