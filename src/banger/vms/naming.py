"""Which addresses of this host's the names of machines stand for."""

import os
from collections.abc import Sequence
from ipaddress import IPv4Address

from banger.net import plan
from banger.vmm.driver import TapNetwork
from banger.vms.record import Machines, VmRecord


class Naming:
    """The machines on record, as the network sees them."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines

    def addresses(self, name: str) -> Sequence[IPv4Address]:
        """Where a running machine of that name can be reached from this host."""
        record = self._machines.named(name)
        address = address_of(record) if record is not None else None
        return [address] if address is not None else []

    def name_of(self, address: IPv4Address) -> str | None:
        """Which running machine has that address."""
        return next((each.name for each in self._machines.all() if address_of(each) == address), None)

    def slots(self) -> Sequence[int]:
        """Those of all machines on record."""
        return [each.slot for each in self._machines.all()]


def address_of(record: VmRecord) -> IPv4Address | None:
    """The guest's own on the bridge; for one with user networking, the loopback address that it owns; None at rest."""
    if record.state != "running" or record.network is None:
        return None
    if isinstance(record.network, TapNetwork):
        return IPv4Address(record.network.address.partition("/")[0])
    return plan.loopback(record.slot, os.geteuid())
