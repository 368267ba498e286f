"""``banger internal complete -- WORDS``: a suggestion a line, with a tab before what it means."""

from collections.abc import Sequence

from banger import errors
from banger.api import routes
from banger.cli.suggest import suggestions
from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace
from banger.paths import Paths
from banger.sdk.client import Client
from banger.text import printable

LISTS = {
    "vm": (routes.VM_LIST, "vms"),
    "image": (routes.IMAGE_LIST, "images"),
    "kernel": (routes.KERNEL_LIST, "kernels"),
}
PATIENCE = 1.0


def run(arguments: Namespace, terminal: Terminal) -> int:
    for word, meaning in suggestions(arguments.command, _names):
        terminal.print(f"{word}\t{meaning}" if meaning else word)
    return 0


def _names(kind: str) -> Sequence[str]:
    try:
        if kind == "profile":
            from banger.config.loader import load

            return list(load(*Paths.from_environment().config_files).profile)
        with Client(start=False, timeout=PATIENCE) as client:
            noun, _, machine = kind.partition(" ")
            if machine:
                told = client.document(routes.VM_SESSION_LIST, machine)["sessions"]
                return [printable(each["name"] or each["id"]) for each in told]
            noun, _, catalog = kind.partition("-")
            if catalog:
                entries = client.document(routes.CATALOG)["entries"]
                return [printable(each["name"]) for each in entries if each["noun"] == noun]
            route, key = LISTS[kind]
            return [printable(each["name"]) for each in client.document(route)[key]]
    except (errors.BangerError, ValueError, KeyError, TypeError):
        return []
