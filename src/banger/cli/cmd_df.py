"""``banger df``: what is virtual and what is real."""

from banger.api import routes
from banger.config.sizes import format_size
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace

COLUMNS = (("kind", "WHAT"), ("name", "NAME"), ("virtual", "SIZE"), ("real", "ON DISK"))


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    with Client() as client:
        space = client.document(routes.DF)
    if arguments.json:
        terminal.document(space)
        return 0
    rows = [
        {
            "kind": each["kind"],
            "name": each["name"],
            "virtual": None if each["virtual"] is None else format_size(each["virtual"]),
            "real": format_size(each["real"]),
        }
        for each in space["items"]
        if each["real"] or each["name"]
    ]
    total = sum(each["real"] for each in space["items"])
    terminal.table([*rows, {"kind": "total", "real": format_size(total)}], COLUMNS)
    promised, free = space["promised"], space["free"]
    terminal.say(f"free: {format_size(free)}; machines may still write {format_size(promised)}", "dim")
    if promised > free:
        terminal.say(
            "more is promised than is free: a machine that finds the disk full stands still, and loses nothing"
        )
    return 0
