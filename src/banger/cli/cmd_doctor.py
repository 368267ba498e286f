"""``banger doctor``: what this host has, what it lacks, and how to mend that."""

import banger
from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace
from banger.sdk.client import Client
from banger.text import printable

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.api.daemon import Check, Leftover

STYLES = {"pass": "green", "warn": "yellow", "fail": "red"}


PAST = {"remove": "removed", "end": "ended", "enter again": "entered again:", "set aside": "set aside:"}


def _drift(daemon: str) -> "Check | None":
    """The row of the version, where this command is of another one than the daemon."""
    from banger.api.daemon import Check

    if not daemon or daemon == banger.__version__:
        return None
    mend = "banger daemon stop (machines go on), or sudo banger system restart"
    detail = f"the daemon is {daemon}, this command {banger.__version__}"
    return Check(name="version", status="warn", detail=detail, mend=mend)


def _told(each: "Leftover") -> str:
    if not each.remedy:
        return "left alone:"
    return PAST.get(each.remedy, each.remedy) if each.done else f"could not {each.remedy}:"


def run(arguments: Namespace, terminal: Terminal) -> int:
    with Client() as client:
        report = client.doctor_fix() if arguments.fix else client.doctor()
    drift = _drift(report.version)
    if drift is not None:
        report.checks[:] = [drift if each.name == drift.name else each for each in report.checks]
    if arguments.json:
        terminal.document(report)
    else:
        for each in report.fixed:
            terminal.print(printable(f"{_told(each)} {each.kind} {each.name}: {each.error or each.reason}"))
        width = max((len(check.name) for check in report.checks), default=0)
        for check in report.checks:
            verdict = terminal.paint(check.status.upper(), STYLES[check.status])
            terminal.print(f"{verdict}  {check.name.ljust(width)}  {printable(check.detail)}")
            if check.mend and check.status != "pass":
                terminal.print(f"{'':{width + 8}}{terminal.paint(printable(check.mend), 'dim')}")
    return 1 if any(check.status == "fail" for check in report.checks) else 0
