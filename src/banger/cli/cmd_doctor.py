"""``banger doctor``: what this host has, what it lacks, and how to mend that."""

from banger.api import routes
from banger.sdk.client import Client
from banger.text import printable

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace

STYLES = {"pass": "green", "warn": "yellow", "fail": "red"}


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    with Client() as client:
        report = client.document(routes.DOCTOR)
    if arguments.json:
        terminal.document(report)
    else:
        width = max((len(check["name"]) for check in report["checks"]), default=0)
        for check in report["checks"]:
            verdict = terminal.paint(check["status"].upper(), STYLES[check["status"]])
            terminal.print(f"{verdict}  {check['name'].ljust(width)}  {printable(check['detail'])}")
            if check.get("mend") and check["status"] != "pass":
                terminal.print(f"{'':{width + 8}}{terminal.paint(printable(check['mend']), 'dim')}")
    return 1 if any(check["status"] == "fail" for check in report["checks"]) else 0
