"""Network interfaces as the kernel tells of them, and the mark that ours carry.

What banger makes has the alias ``banger`` (``ip link`` shows it), which only root can give. Everything is read and set
through ip(8), in its JSON and in one batch.
"""

import ipaddress
import json
from typing import Any, NamedTuple

from . import program
from .host import Host

MARK = "banger"


class Link(NamedTuple):
    """An interface."""

    name: str
    kind: str
    """``bridge``, ``tun`` and the like; empty for one of hardware."""
    alias: str
    mac: str
    up: bool
    bridge: str
    """The bridge that it is a port of, or empty."""
    owner: int | None
    """The user that may open a tap."""
    tap: bool

    @property
    def ours(self) -> bool:
        return self.alias == MARK


def show(name: str) -> Link | None:
    """The interface of that name."""
    done = program.run("ip", "-json", "-details", "-Numeric", "link", "show", "dev", name, ok=(0, 1))
    found = _parsed(done.stdout)
    return _link(found[0]) if done.status == 0 and found else None


def ports(bridge: str) -> dict[str, Link]:
    """The ports of a bridge by name; none where there is no such bridge."""
    done = program.run("ip", "-json", "-details", "-Numeric", "link", "show", "master", bridge, ok=(0, 1))
    links = [_link(each) for each in _parsed(done.stdout)]
    return {each.name: each for each in links}


def addresses() -> dict[str, list[ipaddress.IPv4Interface]]:
    """The IPv4 addresses of every interface, each with its prefix length."""
    done = program.run("ip", "-json", "-4", "address", "show")
    return {
        each["ifname"]: [
            ipaddress.IPv4Interface(f"{info['local']}/{info['prefixlen']}")
            for info in each.get("addr_info", ())
            if "local" in info
        ]
        for each in _parsed(done.stdout)
        if each.get("ifname")
    }


def overlapping(host: Host) -> tuple[str, ipaddress.IPv4Interface] | None:
    """Another interface whose network has addresses in common with the guests', and its address."""
    for name, found in addresses().items():
        for address in found:
            if name != host.bridge and address.network.overlaps(host.network.network):
                return name, address
    return None


def batch(*lines: str) -> None:
    """Several commands of ip(8) in one go, up to the first that fails. Raises `operation.Failed`."""
    program.run("ip", "-batch", "-", input="".join(line + "\n" for line in lines).encode("ascii"))


def _parsed(output: bytes) -> list[dict[str, Any]]:
    """ip(8) prints an empty object for what it was not asked about."""
    return [each for each in json.loads(output or b"[]") if each]


def _link(found: dict[str, Any]) -> Link:
    info = found.get("linkinfo", {})
    data = info.get("info_data", {})
    return Link(
        name=found["ifname"],
        kind=info.get("info_kind", ""),
        alias=found.get("ifalias", ""),
        mac=found.get("address", ""),
        up="UP" in found.get("flags", ()),
        bridge=found.get("master", ""),
        owner=_user(data.get("user")),
        tap=data.get("type") == "tap",
    )


def _user(value: object) -> int | None:
    """ip(8) prints the name of a user that has one; such a user is none of ours."""
    return value if isinstance(value, int) else None
