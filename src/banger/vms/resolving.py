"""Which addresses machines have under their names, for the DNS server: asked anew with every question.

A machine on the bridge has an address of its own. One with user networking has none that its host could reach; it owns
a loopback address instead, to which its published ports are bound. A machine that does not run has no address.
"""

import os
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from banger.net import plan
from banger.net.zone import Address, Zone
from banger.vmm.driver import TapNetwork, UserNetwork
from banger.vms.record import Machines, VmRecord


def address(record: VmRecord) -> IPv4Address | None:
    """Where the host reaches a machine that runs."""
    if record.state != "running" or record.network is None:
        return None
    if isinstance(record.network, TapNetwork):
        return IPv4Interface(record.network.address).ip
    return own(record)


def own(record: VmRecord) -> IPv4Address | None:
    """The loopback address of the host that is a machine's alone, if it has one."""
    return plan.loopback(record.slot, os.geteuid()) if isinstance(record.network, UserNetwork) else None


def zone(machines: Machines, guests: IPv4Network | None) -> Zone:
    """What the DNS server knows. ``guests`` is the network of the bridge, where there is one."""

    def lookup(name: str) -> Sequence[Address]:
        record = machines.named(name)
        found = address(record) if record is not None else None
        return () if found is None else (found,)

    def reverse(wanted: IPv4Address) -> str | None:
        return next((each.name for each in machines.all() if address(each) == wanted), None)

    ours = IPv4Network((int(plan.loopback(0, os.geteuid())) & 0xFFFF0000, 16))
    return Zone(lookup, reverse, [ours, *([guests] if guests is not None else [])])
