"""The packet filter in nft(8)'s language: fixed rules over sets, and the guests as the sets' elements.

Two tables of our own, both called ``banger``: the one of the bridge family sees every frame of a guest, the one of the
inet family what the host routes or receives. A guest that comes or goes changes elements only. Nobody else's table is
read or written; what another firewall drops stays dropped, since an accept here is not the last word.

Closed by default: without any element, what a guest sends goes nowhere. A packet of a connection that was allowed once
is judged anew, so what is taken from a guest ends at once.

Pure: text and JSON in, text and values out.
"""

import hashlib
import ipaddress
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .host import Host

TABLES = ("bridge", "inet")
"""The families in which there is a table ``banger``, in the order of their sets below."""

CONNECTIONS = 4096
"""Connections of one guest at a time, through the host and to it: its table of connections is everybody's."""

QUESTIONS = 500
"""Packets of one guest to the resolver in a second: the daemon that answers them has other things to do."""

DYNAMIC = ("connections", "questions")
"""Sets that traffic fills."""

METADATA = "169.254.169.254"

BRIDGE_TABLE = """\
table bridge banger {{
  set guests {{ type ifname . ether_addr . ipv4_addr; }}
  set peers {{ type ifname; }}
  chain prerouting {{
    type filter hook prerouting priority -300; policy accept;
    iifname "tap-fc-*" jump from_guest
  }}
  chain from_guest {{
    iifname . ether saddr . ip saddr @guests accept
    iifname . ether saddr . arp saddr ip @guests iifname . arp saddr ether . arp saddr ip @guests accept
    drop
  }}
  chain forward {{
    type filter hook forward priority -200; policy accept;
    iifname "tap-fc-*" jump between_guests
    oifname "tap-fc-*" jump between_guests
  }}
  chain between_guests {{
    iifname @peers oifname @peers accept
    drop
  }}
}}
"""

INET_TABLE = """\
table inet banger {{
  set host {{ type ipv4_addr; }}
  set metadata {{ type ipv4_addr; }}
  set nat {{ type ipv4_addr; }}
  set peers {{ type ipv4_addr; }}
  set private {{ type ipv4_addr; }}
  set connections {{ type ipv4_addr; size 65535; flags dynamic; }}
  set questions {{ type ipv4_addr; size 65535; flags dynamic; }}
  chain prerouting {{
    type nat hook prerouting priority -100; policy accept;
    {redirect}
  }}
  chain input {{
    type filter hook input priority -10; policy accept;
    iifname "{bridge}" jump to_host
  }}
  chain forward {{
    type filter hook forward priority -10; policy accept;
    iifname "{bridge}" jump from_guest
    oifname "{bridge}" jump to_guest
  }}
  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
    ip saddr @nat oifname != "{bridge}" masquerade
  }}
  chain to_host {{
    ct state invalid drop
    ct state established,related ct direction reply accept
    jump bounded
    ip daddr {metadata} ip saddr @metadata accept
    ip daddr 169.254.0.0/16 drop
    {resolver}
    ip daddr {address} icmp type echo-request accept
    ip saddr @host accept
    reject with icmpx type admin-prohibited
  }}
  chain from_guest {{
    ct state invalid drop
    jump bounded
    oifname "{bridge}" ip saddr @peers ip daddr @peers accept
    oifname "{bridge}" drop
    ip daddr {metadata} ip saddr @metadata ip saddr @nat accept
    ip daddr 169.254.0.0/16 drop
    ip saddr != @nat reject with icmpx type admin-prohibited
    ip daddr {{ 10.0.0.0/8, 100.64.0.0/10, 172.16.0.0/12, 192.168.0.0/16 }} ip saddr != @private \
reject with icmpx type admin-prohibited
    accept
  }}
  chain to_guest {{
    ip daddr @nat ct state established,related ct direction reply accept
    drop
  }}
  chain to_resolver {{
    add @questions {{ ip saddr limit rate over {questions}/second burst {questions} packets }} drop
    accept
  }}
  chain bounded {{
    ct state new add @connections {{ ip saddr ct count over {connections} }} drop
  }}
}}
"""

DNS = "ip daddr {address} meta l4proto {{ tcp, udp }} th dport"


@dataclass(frozen=True, kw_only=True)
class GuestRule:
    """What one guest may do, and how it is told from others."""

    tap: str
    address: str
    mac: str
    nat: bool = False
    """Reach the outside, under the host's address."""
    private: bool = False
    """Reach private networks of the outside as well (RFC 1918, RFC 6598)."""
    peers: bool = False
    """Reach the other guests that have this too."""
    host: bool = False
    """Reach services of the host. Its resolver is always open to guests."""
    metadata: bool = False
    """Reach 169.254.169.254, where clouds hand out credentials."""


Elements = Mapping[str, Mapping[str, frozenset[tuple[str, ...]]]]
"""Family -> name of a set -> its elements."""


def elements(guests: Iterable[GuestRule]) -> Elements:
    """What must be in the sets for these guests."""
    every = list(guests)

    def those(flag: str) -> frozenset[tuple[str, ...]]:
        return frozenset((each.address,) for each in every if getattr(each, flag))

    return {
        "bridge": {
            "guests": frozenset((each.tap, each.mac, each.address) for each in every),
            "peers": frozenset((each.tap,) for each in every if each.peers),
        },
        "inet": {name: those(name) for name in ("host", "metadata", "nat", "peers", "private")},
    }


def skeleton(host: Host, resolver: int) -> str:
    """Both tables without elements. ``resolver`` is the port that guests' questions for port 53 go to; 0 for none."""
    address = str(host.network.ip)
    dns = DNS.format(address=address)
    text = BRIDGE_TABLE + INET_TABLE
    return text.format(
        bridge=host.bridge,
        address=address,
        connections=CONNECTIONS,
        metadata=METADATA,
        redirect=f'iifname "{host.bridge}" {dns} 53 redirect to :{resolver}' if resolver else "",
        resolver=f"{dns} {resolver} jump to_resolver" if resolver else "",
        questions=QUESTIONS,
    )


def replaced(text: str, wanted: Elements) -> str:
    """A transaction after which there are these tables with these elements, whatever was there."""
    gone = "".join(f"add table {family} banger\ndelete table {family} banger\n" for family in TABLES)
    return gone + text + "".join(_added(wanted))


def refilled(wanted: Elements) -> str:
    """A transaction that changes elements only; it keeps the count of each guest's connections."""
    emptied = (f"flush set {family} banger {name}\n" for family in wanted for name in wanted[family])
    return "".join(emptied) + "".join(_added(wanted))


def _added(wanted: Elements) -> Iterable[str]:
    for family, sets in wanted.items():
        for name, members in sets.items():
            if members:
                listed = ", ".join(" . ".join(map(_word, each)) for each in sorted(members))
                yield f"add element {family} banger {name} {{ {listed} }}\n"


def _word(part: str) -> str:
    return f'"{part}"' if part.startswith("tap-") else part


# -- what the kernel lists --------------------------------------------------------------------------------------------


def listed(output: bytes) -> tuple[str, dict[str, frozenset[tuple[str, ...]]]]:
    """A table as `nftables.listed` tells of it: a digest of all but the elements, and the elements by set.

    Handles are numbers of the moment, and the elements of a dynamic set come and go with traffic; neither counts.
    """
    found: dict[str, frozenset[tuple[str, ...]]] = {}
    rest = []
    for each in json.loads(output)["nftables"]:
        ((kind, values),) = each.items()
        if kind == "metainfo":
            continue
        values = {name: value for name, value in values.items() if name != "handle"}
        members = values.pop("elem", [])
        if kind == "set" and values["name"] not in DYNAMIC:
            found[values["name"]] = frozenset(_member(member) for member in members)
        rest.append([kind, values])
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest(), found


def _member(member: Any) -> tuple[str, ...]:
    parts = member["concat"] if isinstance(member, dict) and "concat" in member else [member]
    return tuple(each if isinstance(each, str) else json.dumps(each, sort_keys=True) for each in parts)


def valid_address(address: str, host: Host) -> bool:
    """Whether a guest can have that address: one of the network's, canonical, not the bridge's own."""
    try:
        parsed = ipaddress.IPv4Address(address)
    except ValueError:
        return False
    network = host.network.network
    ends = (network.network_address, network.broadcast_address) if network.prefixlen < 31 else ()
    return str(parsed) == address and parsed in network and parsed != host.network.ip and parsed not in ends
