"""``banger config show``: the settings in force; a daemon is asked, if one runs, and none is started."""

import banger
from banger.api import routes
from banger.paths import Paths
from banger.sdk.client import Client
from banger.text import printable

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from typing import Any

    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace

COLUMNS = (("name", "SETTING"), ("written", "VALUE"), ("from", "FROM"))


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    report = _report()
    if arguments.json:
        terminal.document(report)
    else:
        terminal.table([{**each, "from": _from(each["origin"])} for each in report["settings"]], COLUMNS)
    anew = "sudo banger system restart" if Paths.from_environment().system else "banger daemon stop"
    for each in report["settings"]:
        if each.get("next") is not None:
            told = f"{each['name']} has been changed to {each['next']} since the daemon started"
            terminal.say(f"{printable(told)}: it takes effect after '{anew}'")
    if report.get("fault"):
        terminal.say(f"banger: {printable(report['fault'])}", "red")
        terminal.say("  the daemon goes on with what it has read, and would not start again", "dim")
        return banger.errors.BadSetting.exit_status
    return 0


def _report() -> "dict[str, Any]":
    """What the daemon goes by; without one, what it would."""
    try:
        with Client(start=False) as client:
            return client.document(routes.CONFIG_SHOW)
    except banger.errors.DaemonUnreachable:
        import msgspec

        from banger.config.loader import load
        from banger.config.report import report

        paths = Paths.from_environment()
        made: dict[str, Any] = msgspec.to_builtins(report(load(*paths.config_files), paths))
        return made


def _from(origin: "dict[str, Any]") -> str:
    place = origin.get("path") or origin["kind"]
    return f"{place}:{origin['line']}" if origin.get("line") else str(place)
