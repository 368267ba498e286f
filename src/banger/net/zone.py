"""What the DNS server knows: machines below ``vm.``, and whose an address is. It asks; it keeps nothing.

``NAME.vm`` has the addresses that the caller's ``lookup`` gives at that moment. An address of ours leads back to its
name. Nothing else is ours to answer. Pure: names are tuples of labels as they came (RFC 1035), without the root.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address

DOMAIN = b"vm"
SELF = "_banger"
"""The server's own name, by which it is seen whether look-ups reach it; no machine can be called so."""

Address = IPv4Address | IPv6Address
_NAME = re.compile(rb"[a-z0-9_][a-z0-9-]{0,62}")
_OCTET = re.compile(rb"0|[1-9][0-9]{0,2}")


class Verdict(Enum):
    """How a question is to be answered when it is not with records."""

    FOUND = "found"
    """The name exists; it may have nothing of the type."""
    NOT_FOUND = "not found"
    REFUSED = "refused"


@dataclass(frozen=True)
class Found:
    """What there is by a name. ``apex`` is the zone's own name, for the record that every denial carries."""

    verdict: Verdict
    apex: tuple[bytes, ...] = ()
    addresses: Sequence[Address] = ()
    name: str = ""
    """What an address is called, without the domain."""
    at_apex: bool = False


REFUSED = Found(Verdict.REFUSED)


class Zone:
    """``lookup`` gives the addresses of a machine, or none; ``reverse`` the name of an address, or nothing."""

    def __init__(
        self,
        lookup: Callable[[str], Sequence[Address]],
        reverse: Callable[[IPv4Address], str | None],
        networks: Sequence[IPv4Network] = (),
    ) -> None:
        self._lookup = lookup
        self._reverse = reverse
        self.networks = list(networks)
        """Where all addresses are ours to name."""

    def find(self, labels: Sequence[bytes], server: Address) -> Found:
        """What there is by that name. ``server`` is the address that the question came to."""
        lower = tuple(each.lower() for each in labels)
        if lower[-1:] == (DOMAIN,):
            return self._forward(lower[:-1], server)
        if lower[-2:] == (b"in-addr", b"arpa"):
            return self._backward(lower[:-2])
        return REFUSED

    def _forward(self, labels: tuple[bytes, ...], server: Address) -> Found:
        apex = (DOMAIN,)
        if not labels:
            return Found(Verdict.FOUND, apex, at_apex=True)
        if len(labels) > 1 or not _NAME.fullmatch(labels[0]):
            return Found(Verdict.NOT_FOUND, apex)
        name = labels[0].decode("ascii")
        addresses = (server,) if name == SELF else tuple(self._lookup(name))
        return Found(Verdict.FOUND if addresses else Verdict.NOT_FOUND, apex, addresses)

    def _backward(self, labels: tuple[bytes, ...]) -> Found:
        if len(labels) != 4 or not all(_OCTET.fullmatch(each) and int(each) < 256 for each in labels):
            return REFUSED
        address = IPv4Address(bytes(int(each) for each in reversed(labels)))
        within = next((each for each in self.networks if address in each), None)
        if within is None:
            return REFUSED
        apex = (*labels[4 - min(3, within.prefixlen // 8) :], b"in-addr", b"arpa")
        name = self._reverse(address)
        return Found(Verdict.FOUND if name else Verdict.NOT_FOUND, apex, name=name or "")
