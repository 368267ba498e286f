"""``banger doctor``: what this host has, what it lacks, and how to mend that."""

import banger
from banger.api import routes
from banger.sdk.client import Client
from banger.text import printable

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from typing import Any

    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace

STYLES = {"pass": "green", "warn": "yellow", "fail": "red"}
PAST = {"remove": "removed", "end": "ended", "enter again": "entered again:", "set aside": "set aside:"}


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    with Client() as client:
        report = client.document(routes.DOCTOR_FIX if arguments.fix else routes.DOCTOR)
    _tell_drift(report)
    if arguments.json:
        terminal.document(report)
    else:
        for each in report.get("fixed", ()):
            told = f"{_told(each)} {each['kind']} {each['name']}: {each.get('error') or each['reason']}"
            terminal.print(printable(told))
        width = max((len(check["name"]) for check in report["checks"]), default=0)
        for check in report["checks"]:
            verdict = terminal.paint(check["status"].upper(), STYLES[check["status"]])
            terminal.print(f"{verdict}  {check['name'].ljust(width)}  {printable(check['detail'])}")
            if check.get("mend") and check["status"] != "pass":
                terminal.print(f"{'':{width + 8}}{terminal.paint(printable(check['mend']), 'dim')}")
    return 1 if any(check["status"] == "fail" for check in report["checks"]) else 0


def _tell_drift(report: "dict[str, Any]") -> None:
    """Where this command is of another version than the daemon, the row of the version says so."""
    daemon = report.get("version", "")
    for check in report["checks"]:
        if check["name"] == "version" and daemon and daemon != str(banger.__version__):
            check["status"] = "warn"
            check["detail"] = f"the daemon is {daemon}, this command {banger.__version__}"
            check["mend"] = "banger daemon stop (machines go on), or sudo banger system restart"


def _told(each: "dict[str, Any]") -> str:
    """What came of something that was left over."""
    if not each["remedy"]:
        return "left alone:"
    return PAST.get(each["remedy"], each["remedy"]) if each.get("done") else f"could not {each['remedy']}:"
