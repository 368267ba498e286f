"""``banger vm stats``: what machines take, once or again and again.

A share of processor time needs two looks. The first table shows the share since the machine's start, each later one
the share since the table before.
"""

import sys
import time

from banger.api import routes
from banger.cli.durations import format_duration
from banger.config.sizes import format_size
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from typing import Any

    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace

COLUMNS = (
    ("name", "NAME"),
    ("cpu", "CPU"),
    ("cpu_seconds", "CPU TIME"),
    ("memory", "MEMORY"),
    ("disk", "DISK"),
    ("network", "NET IN / OUT"),
    ("uptime", "UPTIME"),
)
INTERVAL = 2.0


class Shares:
    """Processor time between two looks, by machine."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, float]] = {}

    def share(self, vm: "dict[str, Any]", now: float) -> float | None:
        """Of one processor, since the look before or since the machine's start; None where it is not known."""
        used, uptime = vm["cpu_seconds"], vm["uptime"]
        if used is None or not uptime:
            return None
        moment, before = self._before.get(vm["id"], (now - uptime, 0.0))
        if before > used:  # it was started again
            moment, before = now - uptime, 0.0
        self._before[vm["id"]] = (now, used)
        return max(0.0, used - before) / (now - moment) if now > moment else None


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    shares = Shares()
    lines = 0
    with Client() as client:
        while True:
            document = client.document(routes.VM_STATS, query={"vm": arguments.vm})
            now = time.monotonic()
            for each in document["stats"]:
                each["cpu_share"] = shares.share(each, now)
            if arguments.json and arguments.watch:
                import json

                terminal.print(json.dumps(document))
            elif arguments.json:
                terminal.document(document)
            else:
                terminal.rewind(lines)
                terminal.table([row(each) for each in document["stats"]], COLUMNS)
                lines = len(document["stats"]) + 1
            if not arguments.watch:
                return 0
            sys.stdout.flush()
            time.sleep(arguments.interval or INTERVAL)


def row(vm: "dict[str, Any]") -> dict[str, object]:
    """What the table shows of one machine."""
    return {
        "name": vm["name"],
        "cpu": None if vm["cpu_share"] is None else f"{vm['cpu_share'] * 100:.0f}% of {vm['vcpu'] * 100}%",
        "cpu_seconds": None if vm["cpu_seconds"] is None else format_duration(vm["cpu_seconds"]),
        "memory": _pair(vm["memory_resident"], vm["memory"]),
        "disk": _pair(vm["disk_used"], vm["disk_size"]),
        "network": None if vm["received"] is None else f"{format_size(vm['received'])} / {format_size(vm['sent'])}",
        "uptime": None if vm["uptime"] is None else format_duration(vm["uptime"]),
    }


def _pair(real: int | None, whole: int) -> str:
    return f"{'-' if real is None else format_size(real)} of {format_size(whole)}"
