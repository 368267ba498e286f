"""The bridge that guests' taps are on. Its name and address come from the installation, never from a caller.

A bridge is ours when it has the mark or our hardware address. The address is given as the bridge is made, the mark a
step later: so one whose maker was killed in between is still known. Nothing of IPv6 is configured on it.
"""

from dataclasses import dataclass
from typing import ClassVar

from . import grammar, links
from .host import Host
from .operation import Failed, Operation, Outcome, Refused


def mac(host: Host) -> str:
    """The bridge's own hardware address: constant, so that no guest's gateway changes when a tap comes or goes."""
    return ":".join(f"{each:02x}" for each in b"\x02\xfc" + host.network.ip.packed)


def ours(link: links.Link, host: Host) -> bool:
    """Whether banger has made that bridge."""
    return link.kind == "bridge" and (link.ours or link.mac == mac(host))


@dataclass(frozen=True, kw_only=True)
class Bridge(Operation):
    """The bridge is there, with its address, and up."""

    NAME: ClassVar[str] = "bridge.ensure"
    GATE: ClassVar[str] = (
        "An interface with the bridge's name that banger did not make, and a network that another interface has; name "
        "and address are the installation's, not the caller's. It stays while it has ports."
    )

    def validate(self, host: Host) -> None:
        _foreign(host)

    def describe(self) -> str:
        return "ensure the bridge"

    def execute(self, host: Host, descriptors: object = ()) -> Outcome:
        found = _foreign(host)
        overlap = links.overlapping(host)
        if overlap is not None:
            name, address = overlap
            raise Failed(f"the guests' network {host.network.network} overlaps {name}, which has {address}")
        lines = []
        if found is None:
            lines.append(f"link add name {host.bridge} address {mac(host)} type bridge stp_state 0 mcast_snooping 0")
        lines.append(f"link set dev {host.bridge} alias {links.MARK} addrgenmode none up")
        present = links.addresses().get(host.bridge, []) if found is not None else []
        lines += [f"address delete {each} dev {host.bridge}" for each in present if each != host.network]
        if host.network not in present:
            lines.append(f"address add {host.network} dev {host.bridge} brd +")
        links.batch(*lines)
        return Outcome({"made": found is None})

    def undo(self, host: Host) -> None:
        found = _foreign(host)
        if found is None:
            return
        ports = sorted(links.ports(host.bridge))
        if ports:
            raise Failed(f"{host.bridge} still has ports: {', '.join(ports[:10])}", busy=True)
        links.batch(f"link delete dev {host.bridge}")


def _foreign(host: Host) -> links.Link | None:
    """The bridge as it is. Raises `Refused` when something of that name is not ours."""
    found = links.show(grammar.bridge(host.bridge))
    if found is not None and not ours(found, host):
        what = f"a {found.kind}" if found.kind else "an interface"
        raise Refused(f"{host.bridge} is {what} that banger did not make")
    return found
