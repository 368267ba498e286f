"""Network interfaces as the kernel tells of them, and the mark that ours carry.

What banger makes has the alias ``banger`` (``ip link`` shows it), which only root can give. All is read through
`netlink`; what is rarely made is made through ip(8), in one batch, and what every start changes is not worth a program.
"""

import ipaddress
import socket
import struct
import sys
from typing import NamedTuple

from . import netlink, program
from .host import Host

MARK = "banger"

_INTERFACE = struct.Struct("=BxHiII")
"""``struct ifinfomsg``: family, type, index, flags, which of them change."""
_ADDRESS = struct.Struct("=BBBBi")
"""``struct ifaddrmsg``: family, length of the prefix, flags, scope, index."""
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
"""``struct ndmsg``: family, index, state, flags, type."""
_MAC, _NAME, _MASTER, _PORT, _INFO, _ALIAS = 1, 3, 10, 12, 18, 20
_KIND, _DATA = 1, 2
_TUN_OWNER, _TUN_TYPE = 1, 3
_LOCAL = 2
_ISOLATED, _HARDWARE = 33, 2
_UP = 0x1
_TAP = 2
_STATIC, _OF_MASTER = 0x40 | 0x02, 0x04
"""An entry that does not age and that is not the host's own; a bridge's, not the port's."""


class Link(NamedTuple):
    """An interface."""

    name: str
    number: int
    """The kernel's own, which names it in requests."""
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
    asked = _INTERFACE.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + netlink.attribute(_NAME, name.encode("ascii") + b"\0")
    found = netlink.get(netlink.GETLINK, asked)
    return None if found is None else _link(found)


def ports(bridge: str) -> dict[str, Link]:
    """The ports of a bridge by name; none where there is no such bridge."""
    index = _index(bridge)
    if not index:
        return {}
    asked = _INTERFACE.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + netlink.attribute(_MASTER, struct.pack("=I", index))
    links = map(_link, netlink.dump(netlink.GETLINK, asked))
    return {each.name: each for each in links if each.bridge == bridge}


def addresses() -> dict[str, list[ipaddress.IPv4Interface]]:
    """The IPv4 addresses of every interface, each with its prefix length."""
    found: dict[str, list[ipaddress.IPv4Interface]] = {}
    for each in netlink.dump(netlink.GETADDR, _ADDRESS.pack(socket.AF_INET, 0, 0, 0, 0)):
        head, attributes = each.parts(_ADDRESS.size)
        _, length, _, _, index = _ADDRESS.unpack(head)
        name = _name(index)
        if name and _LOCAL in attributes:
            address = ipaddress.IPv4Interface((attributes[_LOCAL], length))
            found.setdefault(name, []).append(address)
    return found


def isolate(port: Link, isolated: bool) -> None:
    """Keep a bridge's port from every other isolated port, or no longer. Raises `operation.Failed`."""
    setting = netlink.nested(_PORT, netlink.attribute(_ISOLATED, bytes([isolated])))
    netlink.change(netlink.SETLINK, _INTERFACE.pack(socket.AF_BRIDGE, 0, port.number, 0, 0) + setting)


def place(port: Link, mac: str) -> None:
    """Tell a bridge for good which port a hardware address is behind. Raises `operation.Failed`."""
    entry = _NEIGHBOUR.pack(socket.AF_BRIDGE, port.number, _STATIC, _OF_MASTER, 0)
    hardware = bytes.fromhex(mac.replace(":", ""))
    netlink.change(netlink.NEWNEIGH, entry + netlink.attribute(_HARDWARE, hardware))


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


def _link(found: netlink.Message) -> Link:
    head, attributes = found.parts(_INTERFACE.size)
    _, _, index, flags, _ = _INTERFACE.unpack(head)
    info = netlink.parsed(attributes.get(_INFO, b""))
    kind = netlink.text(info.get(_KIND, b""))
    tun = netlink.parsed(info.get(_DATA, b"")) if kind == "tun" else {}
    return Link(
        name=netlink.text(attributes[_NAME]),
        number=index,
        kind=kind,
        alias=netlink.text(attributes.get(_ALIAS, b"")),
        mac=attributes.get(_MAC, b"").hex(":"),
        up=bool(flags & _UP),
        bridge=_name(_number(attributes.get(_MASTER))),
        owner=_number(tun[_TUN_OWNER]) if _TUN_OWNER in tun else None,
        tap=tun.get(_TUN_TYPE, b"")[:1] == bytes([_TAP]),
    )


def _number(value: bytes | None) -> int:
    return int.from_bytes(value or b"", sys.byteorder)


def _index(name: str) -> int:
    """An interface's number; 0 when there is none of that name."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def _name(index: int) -> str:
    """An interface's name; empty when there is none of that number."""
    try:
        return socket.if_indextoname(index) if index else ""
    except OSError:
        return ""
