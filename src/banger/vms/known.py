"""Which machines ssh knows: those on record that have a host key. A name that is given again is another machine's."""

import logging

from banger import errors
from banger.paths import Paths
from banger.ssh import client
from banger.vms.record import Machines

log = logging.getLogger("banger.vms")


def tell(paths: Paths, machines: Machines) -> None:
    """Let ssh believe the host keys of the machines that there are, and no others. A failure is only logged."""
    owned = [each for each in machines.all() if each.host_key and not each.worker_of]
    try:
        client.write_known_hosts(paths, ((each.name, each.host_key) for each in owned))
    except errors.BangerError as failed:
        log.warning("machines' host keys could not be told to ssh: %s", failed.message)
