"""What the doctor says of the network: rows made of what others have found out, and the one question to the host.

A row is status, detail and how to mend it. Pure, but for `routed`.
"""

import asyncio
import socket
from collections.abc import Collection, Iterable, Mapping
from ipaddress import IPv4Network
from typing import Literal

from banger.net import plan
from banger.net.plan import HostNetwork
from banger.net.zone import DOMAIN, SELF, Address

Found = tuple[Literal["pass", "warn", "fail"], str, str]

RECIPES = "docs/howto/resolve-names.md"
SECONDS = 3.0
"""How long the host's resolver may take."""


def names(problem: str, listening: Collection[Address], routed: bool) -> Found:
    """Whether ``NAME.vm`` works on this host. ``problem`` is why our server does not answer, or is not asked."""
    domain = DOMAIN.decode()
    if not listening:
        return "warn", f"names are not answered: {problem}", "set dns_port to a free port in config.toml"
    if routed:
        return "pass", f"NAME.{domain} is answered at {' and '.join(map(str, listening))}", ""
    reason = f": {problem}" if problem else ""
    return (
        "warn",
        f"names are not routed{reason}; 'banger exec', 'banger cp' and 'banger ssh' work without them",
        f"{RECIPES} has a recipe for each resolver; 'banger ssh-config --install' lets ssh do without one",
    )


def addresses(guests: IPv4Network, known: Iterable[HostNetwork], bridge: str) -> Found:
    """Whether the guests' network is theirs alone."""
    networks = list(known)
    found = plan.collisions(guests, networks, bridge)
    if not found:
        return "pass", f"{guests}", ""
    named = ", ".join(f"{each.network} ({each.interface})" for each in found)
    free = plan.suggestion(networks, guests.prefixlen)
    mend = f"install with another network, such as {free}" if free else "free a private network on this host"
    return "warn", f"the guests' network {guests} overlaps {named}: guests do not reach what is there", mend


def rules(standing: Mapping[str, object] | None) -> Found:
    """Whether the packet filter is as it was made, for the guests that there are. ``standing`` is what root sees."""
    if standing is None:
        return "pass", "no machine has needed the guests' network yet", ""
    faults = [f"the table {each} banger is gone or was edited" for each in _names(standing, "edited")]
    faults = ["elements of our sets were edited"] if _names(standing, "edited") == ["elements"] else faults
    if not faults and not standing.get("current"):
        faults = ["the rules are not those of the machines that run"]
    faults += [f"{each} is not on the bridge" for each in _names(standing, "missing")]
    if faults:
        return "warn", "; ".join(faults), "sudo banger system restart (machines go on, and the rules are made anew)"
    return "pass", "the packet filter's rules are those that were made, for the machines that run", ""


def _names(standing: Mapping[str, object], key: str) -> list[str]:
    found = standing.get(key)
    return [str(each) for each in found] if isinstance(found, list | tuple) else []


async def routed(listening: Collection[Address]) -> bool:
    """Whether the host's own resolver leads to our server: its name has its address there."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(SECONDS):
            found = await loop.getaddrinfo(f"{SELF}.{DOMAIN.decode()}", None, type=socket.SOCK_DGRAM)
    except (OSError, TimeoutError):
        return False
    return any(str(each[4][0]) in map(str, listening) for each in found)
