"""The helper as those see it who install, start and examine it."""

from banger.helper import udev
from banger.helper.host import BadRecord, Host, load
from banger.helper.ping import Ping
from banger.privileged.client import Helper

__all__ = ["BadRecord", "Host", "load", "ping", "udev"]

PATIENCE = 5.0
"""Seconds that a helper which is being started may take until it listens."""


async def ping(host: Host) -> str:
    """The digest of the helper that answers. Raises `errors.HelperUnavailable`, `errors.PrivilegeRefused`."""
    outcome = await Helper(host.socket, host, patience=PATIENCE).perform(Ping())
    return str(outcome.values.get("digest", ""))
