"""``banger vm show``."""

import time
from typing import TYPE_CHECKING

from banger.cli.durations import format_age, format_duration
from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace
from banger.config.sizes import format_size
from banger.sdk.client import Client

if TYPE_CHECKING:
    from banger.api.vm import Vm


def run(arguments: Namespace, terminal: Terminal) -> int:
    with Client() as client:
        vm = client.vm_show(arguments.vm)
    if arguments.json:
        terminal.document(vm)
        return 0
    now = time.time()
    terminal.facts(
        (
            ("name", vm.name),
            ("id", vm.id),
            ("state", vm.state),
            ("change", vm.operation),
            ("image", vm.image),
            ("kernel", vm.kernel),
            ("vcpu", vm.vcpu),
            ("memory", format_size(vm.memory)),
            ("disk", format_size(vm.disk_size)),
            ("work disk", f"{format_size(vm.work_disk_size)} on /root" if vm.work_disk_size else None),
            ("next start", _pending(vm)),
            ("environment", " ".join(sorted(vm.env))),
            ("labels", " ".join(f"{key}={value}" for key, value in sorted(vm.labels.items()))),
            ("ephemeral", "yes" if vm.ephemeral else None),
            ("time limit", limit(vm, now)),
            ("driver", f"{vm.driver} ({vm.machine})" if vm.machine else vm.driver),
            ("address", vm.address),
            ("reaches", _reaches(vm)),
            ("pid", vm.pid),
            ("created", _ago(vm.created, now)),
            ("started", _ago(vm.started, now)),
            ("stopped", _ago(vm.stopped, now)),
            ("stop reason", vm.stop_reason),
            ("error", vm.error),
        )
    )
    return 0


def limit(vm: "Vm", now: float) -> str | None:
    """How long it may run, and how much of that is left."""
    if vm.ttl is None:
        return None
    left = "" if vm.expires is None else f", {format_duration(vm.expires - now)} left"
    return format_duration(vm.ttl) + left


def _pending(vm: "Vm") -> str | None:
    """What was set while it ran."""
    if vm.pending is None:
        return None
    told = (
        ("vcpu", vm.pending.vcpu),
        ("memory", vm.pending.memory and format_size(vm.pending.memory)),
        ("disk", vm.pending.disk_size and format_size(vm.pending.disk_size)),
        ("work disk", vm.pending.work_disk_size and format_size(vm.pending.work_disk_size)),
    )
    return ", ".join(f"{name} {value}" for name, value in told if value)


def _reaches(vm: "Vm") -> str | None:
    found = [word for word, allowed in (("outside", vm.nat), ("peers", vm.peers)) if allowed]
    return ", ".join(found) or None


def _ago(moment: float | None, now: float) -> str | None:
    return None if moment is None else format_age(now - moment)
