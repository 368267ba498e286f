"""What can be pulled by a name: ``--catalog`` of the verbs that list images and kernels."""

from banger.api import routes
from banger.cli import listing
from banger.config.sizes import format_size
from banger.sdk.client import Client
from banger.text import printable

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from typing import Any

    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace

COLUMNS = (
    ("name", "NAME"),
    ("kind", "KIND"),
    ("here", "HERE"),
    ("size", "DOWNLOAD"),
    ("kernel", "KERNEL"),
    ("description", "DESCRIPTION"),
    ("source", "CATALOG"),
)


def show_catalog(noun: str, arguments: "Namespace", terminal: "Terminal") -> int:
    """The entries of a noun; what is wrong with a catalog's file is said on stderr and stops nothing."""
    with Client() as client:
        document = client.document(routes.CATALOG)
    entries = [each for each in document["entries"] if each["noun"] == noun]
    for fault in document["faults"]:
        terminal.say(f"passed over: {printable(fault, 1000)}", "yellow")
    columns = [each for each in COLUMNS if noun == "image" or each[0] != "kernel"]
    return listing.show({**document, "entries": entries}, "entries", arguments, terminal, columns, _row)


def _row(entry: "dict[str, Any]") -> dict[str, object]:
    return {
        **entry,
        "here": "yes" if entry["present"] else "no",
        "size": format_size(entry["size"]) if entry["size"] else "",
    }
