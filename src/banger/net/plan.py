"""Who has which address: everything follows from the guests' network and a machine's slot.

A slot is the smallest number that no other machine had; a machine keeps it, and with it its addresses, for as long as
it is on record. Pure, but for `host_networks`, which reads one file of the kernel's.

Guests have IPv4 only. The plan for IPv6 is a /64 of a unique local prefix on the bridge (RFC 4193), the interface part
from the slot as well; as long as it is not built, the filter drops every frame of it.
"""

import struct
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import NamedTuple

from banger import errors

ROUTES = "/proc/net/route"

PRIVATE = tuple(map(IPv4Network, ("172.16.0.0/12", "10.0.0.0/8", "192.168.0.0/16")))
"""Where a free network is looked for (RFC 1918), in this order."""


class Plan:
    """The addresses of one network of guests. ``bridge`` is the host's own address in it."""

    def __init__(self, bridge: IPv4Interface) -> None:
        self.bridge = bridge

    @property
    def capacity(self) -> int:
        """How many guests there can be."""
        network = self.bridge.network
        usable = max(0, network.num_addresses - 3)  # without the network's own, the first and the broadcast address
        return max(0, usable - (self._own >= 2))

    @property
    def _own(self) -> int:
        """Which of its network's addresses the bridge has."""
        return int(self.bridge.ip) - int(self.bridge.network.network_address)

    def address(self, slot: int) -> IPv4Address:
        """The guest's address: from the network's second on, without the bridge's. Raises `errors.NetworkFull`."""
        if not 0 <= slot < self.capacity:
            raise errors.NetworkFull(network=str(self.bridge.network), count=self.capacity)
        offset = slot + 2
        if 2 <= self._own <= offset:
            offset += 1
        return self.bridge.network.network_address + offset

    def interface(self, slot: int) -> str:
        """The guest's address with the prefix length of the network."""
        return f"{self.address(slot)}/{self.bridge.network.prefixlen}"

    def mac(self, slot: int) -> str:
        """The guest's hardware address: locally administered, our prefix, and its IPv4 address."""
        return ":".join(f"{each:02x}" for each in b"\x02\xfc" + self.address(slot).packed)


def tap(slot: int) -> str:
    """The name of the host's end of a guest's cable."""
    return f"tap-fc-{slot}"


def loopback(slot: int, uid: int) -> IPv4Address:
    """The loopback address that a machine with user networking owns on its host.

    The second byte follows from the user, so that two users' machines do not meet (users whose ids are equal modulo
    64 may); it stays clear of 127.0.0.0/16, where others have theirs.
    """
    return IPv4Address((127 << 24) + ((64 + uid % 64) << 16) + slot + 2)


class HostNetwork(NamedTuple):
    """A network that the host reaches, and by which interface."""

    interface: str
    network: IPv4Network


def host_networks(path: str = ROUTES) -> list[HostNetwork]:
    """Every IPv4 network in the host's main routing table, the default route left out (proc(5), /proc/net/route)."""
    with open(path, encoding="ascii") as file:
        next(file, None)
        return list(_routes(file))


def _routes(lines: Iterable[str]) -> Iterator[HostNetwork]:
    for line in lines:
        interface, destination, _, _, _, _, _, mask, *_ = line.split()
        address, bits = (struct.pack("=I", int(word, 16)) for word in (destination, mask))
        prefix = int.from_bytes(bits, "big").bit_count()
        if prefix:
            yield HostNetwork(interface, IPv4Network((address, prefix), strict=False))


def collisions(guests: IPv4Network, known: Iterable[HostNetwork], bridge: str) -> list[HostNetwork]:
    """The host's networks that have addresses in common with the guests'; what ``bridge`` has is the guests' own."""
    return [each for each in known if each.interface != bridge and each.network.overlaps(guests)]


def suggestion(known: Iterable[HostNetwork], prefix: int = 24) -> IPv4Network | None:
    """A private network of that size that the host does not use."""
    taken = [each.network for each in known]
    for private in PRIVATE:
        for candidate in private.subnets(new_prefix=max(prefix, private.prefixlen)):
            over = [each for each in taken if each.overlaps(candidate)]
            if not over:
                return candidate
            if any(private.subnet_of(each) for each in over):
                break  # all of it is taken: look in the next
    return None
