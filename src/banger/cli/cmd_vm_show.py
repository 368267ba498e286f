"""``banger vm show``. What `banger.api.vm.Vm` has defaults for may be left out by an older daemon."""

import time

from banger.api import routes
from banger.cli.durations import format_age, format_duration
from banger.config.sizes import format_size
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from typing import Any

    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    with Client() as client:
        vm = client.document(routes.VM_SHOW, arguments.vm)
    if arguments.json:
        terminal.document(vm)
        return 0
    now = time.time()
    terminal.facts(
        (
            ("name", vm["name"]),
            ("id", vm["id"]),
            ("state", vm["state"]),
            ("change", vm.get("operation")),
            ("image", vm["image"]),
            ("kernel", vm["kernel"]),
            ("vcpu", vm["vcpu"]),
            ("memory", format_size(vm["memory"])),
            ("disk", format_size(vm["disk_size"])),
            ("work disk", _work_disk(vm)),
            ("next start", _pending(vm)),
            ("environment", " ".join(sorted(vm.get("env", ())))),
            ("labels", " ".join(f"{key}={value}" for key, value in sorted(vm.get("labels", {}).items()))),
            ("ephemeral", "yes" if vm.get("ephemeral") else None),
            ("time limit", limit(vm, now)),
            ("driver", f"{vm['driver']} ({vm['machine']})" if vm.get("machine") else vm["driver"]),
            ("address", vm.get("address")),
            ("host key", vm.get("host_key")),
            ("reaches", _reaches(vm)),
            ("published", _published(vm)),
            ("workspace", _workspace(vm)),
            ("pid", vm.get("pid")),
            ("created", _ago(vm["created"], now)),
            ("started", _ago(vm.get("started"), now)),
            ("stopped", _ago(vm.get("stopped"), now)),
            ("stop reason", vm.get("stop_reason")),
            ("error", vm.get("error")),
        )
    )
    return 0


def limit(vm: "dict[str, Any]", now: float) -> str | None:
    """How long it may run, and how much of that is left."""
    ttl, expires = vm.get("ttl"), vm.get("expires")
    if ttl is None:
        return None
    return format_duration(ttl) + ("" if expires is None else f", {format_duration(expires - now)} left")


def _work_disk(vm: "dict[str, Any]") -> str | None:
    size = vm.get("work_disk_size")
    return f"{format_size(size)} on /root" if size else None


def _pending(vm: "dict[str, Any]") -> str | None:
    """What was set while it ran."""
    pending = vm.get("pending")
    if pending is None:
        return None
    told = (
        ("vcpu", pending["vcpu"]),
        ("memory", pending["memory"] and format_size(pending["memory"])),
        ("disk", pending["disk_size"] and format_size(pending["disk_size"])),
        ("work disk", pending["work_disk_size"] and format_size(pending["work_disk_size"])),
    )
    return ", ".join(f"{name} {value}" for name, value in told if value)


def _reaches(vm: "dict[str, Any]") -> str | None:
    found = [word for word, allowed in (("outside", vm.get("nat")), ("peers", vm.get("peers"))) if allowed]
    return ", ".join(found) or None


def _published(vm: "dict[str, Any]") -> str | None:
    """The ports of this host, each with the guest's, and why it does not work if it does not."""
    return ", ".join(map(forward, vm.get("published", ()))) or None


def _workspace(vm: "dict[str, Any]") -> str | None:
    """Where its repository is, which one, and what of it."""
    found = vm.get("workspace")
    if found is None:
        return None
    at = f"{found['branch'] or 'detached'} at {found['commit'][:12]}" if found["commit"] else "without commits"
    state = "" if found["complete"] else "; incomplete: 'banger vm workspace prepare' mends it"
    return f"{found['path']} from {found['source']} ({at}){state}"


def forward(told: "dict[str, Any]") -> str:
    """One of `banger.api.port.Forward`: ``127.0.0.1:8080 -> 80``."""
    way = f"{place(told)} -> {told['guest']}"
    return f"{way} ({told['error']})" if told["error"] else way


def place(told: "dict[str, Any]") -> str:
    """Where the host listens."""
    address = told["address"]
    return f"[{address}]:{told['port']}" if ":" in address else f"{address}:{told['port']}"


def _ago(moment: float | None, now: float) -> str | None:
    return None if moment is None else format_age(now - moment)
