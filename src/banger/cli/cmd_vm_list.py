"""``banger vm list``. Works on plain data: it must answer before msgspec would be loaded."""

import time

from banger.api import routes
from banger.cli import listing
from banger.cli.durations import format_age
from banger.config.sizes import format_size
from banger.sdk.client import Client

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from typing import Any

    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace

COLUMNS = (
    ("name", "NAME"),
    ("state", "STATE"),
    ("image", "IMAGE"),
    ("vcpu", "VCPU"),
    ("memory", "MEMORY"),
    ("disk_size", "DISK"),
    ("address", "ADDRESS"),
    ("workspace", "WORKSPACE"),
    ("id", "ID"),
    ("created", "CREATED"),
)


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    with Client() as client:
        document = client.document(routes.VM_LIST, query={"label": arguments.label})
    now = time.time()
    sizes = {size: format_size(size) for size in {vm[key] for vm in document["vms"] for key in ("memory", "disk_size")}}

    def row(vm: "dict[str, Any]") -> dict[str, object]:
        return {
            **vm,
            "state": state(vm),
            "id": vm["id"][:12],
            "memory": sizes[vm["memory"]],
            "disk_size": sizes[vm["disk_size"]],
            "workspace": workspace(vm),
            "created": format_age(now - vm["created"]),
        }

    return listing.show(document, "vms", arguments, terminal, COLUMNS, row)


def state(vm: "dict[str, Any]") -> str:
    """With what ended it, in a word, unless that was its own power-off."""
    reason = (vm.get("stop_reason") or "").partition(":")[0]
    told = vm["state"] == "stopped" and reason not in ("", "powered off")
    return f"stopped ({reason})" if told else str(vm["state"])


def workspace(vm: "dict[str, Any]") -> str | None:
    """Where its repository is, and whether all of it is there."""
    found = vm.get("workspace")
    return found and (found["path"] if found["complete"] else f"{found['path']} (incomplete)")
