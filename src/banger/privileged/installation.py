"""The helper as those see it who install, start and examine it."""

from banger.helper.host import RECORD as RECORD
from banger.helper.host import BadRecord as BadRecord
from banger.helper.host import Host as Host
from banger.helper.host import load as load
from banger.helper.ping import Ping
from banger.privileged.client import Helper

PATIENCE = 5.0
"""Seconds that a helper which is being started may take until it listens."""


async def ping(host: Host) -> str:
    """The digest of the helper that answers. Raises `errors.HelperUnavailable`, `errors.PrivilegeRefused`."""
    outcome = await Helper(host.socket, host, patience=PATIENCE).perform(Ping())
    return str(outcome.values.get("digest", ""))
