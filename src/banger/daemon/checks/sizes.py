"""How large a machine is here when nobody says, and who has decided that: the settings, the host, or banger itself."""

import functools
from collections.abc import Callable, Mapping

from banger.config import defaults
from banger.config.settings import Config
from banger.config.sizes import format_size
from banger.daemon.checks import Found

SHARE = {"vcpu": "a quarter of {}, at most 4", "memory": "an eighth of {}, at most 8 GiB"}


def _row(name: str, config: Config) -> Found:
    """One size. What is configured may be more than the host has."""
    value, origin = getattr(config.vm_defaults, name), config.origins[f"vm_defaults.{name}"]
    present = {"vcpu": defaults.processors(), "memory": defaults.memory()}.get(name)
    told = _told(name, value)
    if origin == defaults.BY_HOST:
        return "pass", f"{told}: {SHARE[name].format(_told(name, present or 0))}", ""
    if origin == defaults.BY_US:
        return "pass", f"{told}: built in; config.toml can say otherwise", ""
    if present is not None and value > present:
        return (
            "fail" if name == "memory" else "warn",  # processors can be taken in turns
            f"{told}: {origin}, and the host has {_told(name, present)}",
            f"lower vm_defaults.{name} in {origin}, and restart the daemon",
        )
    return "pass", f"{told}: {origin}", ""


def _told(name: str, value: int) -> str:
    if name != "vcpu":
        return format_size(value)
    return f"{value} processor{'' if value == 1 else 's'}"


ROWS: Mapping[str, Callable[[Config], Found]] = {
    "a machine's processors": functools.partial(_row, "vcpu"),
    "a machine's memory": functools.partial(_row, "memory"),
    "a machine's disk": functools.partial(_row, "disk_size"),
    "a machine's work disk": functools.partial(_row, "work_disk_size"),
}
