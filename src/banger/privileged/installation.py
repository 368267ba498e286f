"""The helper as those see it who install, start and examine it."""

from banger.helper import jail, nftables, program, readiness, udev
from banger.helper.host import TOOL_UIDS, BadRecord, Host, load
from banger.helper.ping import Ping
from banger.privileged.client import Helper

__all__ = ["BadRecord", "Host", "jail", "load", "missing_tools", "ping", "readiness", "udev", "user_ids"]

OPTIONAL_TOOLS = ("resolvectl",)
"""Of the helper's, those that some hosts do well without."""

PATIENCE = 5.0
"""Seconds that a helper which is being started may take until it listens."""


def user_ids() -> int:
    """How many user ids in a row an installation takes: those of monitors, and those of tools behind them."""
    return Host.uid_count + TOOL_UIDS


def missing_tools() -> list[str]:
    """What the helper needs of this host and does not find."""
    lacking = [each for each in program.TOOLS if each not in OPTIONAL_TOOLS and not program.installed(each)]
    return lacking if nftables.installed() else [*lacking, "nftables"]


async def ping(host: Host) -> str:
    """The digest of the helper that answers. Raises `errors.HelperUnavailable`, `errors.PrivilegeRefused`."""
    outcome = await Helper(host.socket, host, patience=PATIENCE).perform(Ping())
    return str(outcome.values.get("digest", ""))
