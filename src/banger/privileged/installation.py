"""The helper as those see it who install, start and examine it."""

from banger.helper.host import RECORD, BadRecord, Host, load
from banger.helper.ping import Ping
from banger.helper.udev import PATH as UDEV_RULES
from banger.helper.udev import rules as udev_rules
from banger.privileged.client import Helper

__all__ = ["RECORD", "UDEV_RULES", "BadRecord", "Host", "load", "ping", "udev_rules"]

PATIENCE = 5.0
"""Seconds that a helper which is being started may take until it listens."""


async def ping(host: Host) -> str:
    """The digest of the helper that answers. Raises `errors.HelperUnavailable`, `errors.PrivilegeRefused`."""
    outcome = await Helper(host.socket, host, patience=PATIENCE).perform(Ping())
    return str(outcome.values.get("digest", ""))
