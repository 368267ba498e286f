"""Ports of the host that lead into a machine: how they are written, and which of them can be.

Written ``[ADDRESS:]PORT[:GUEST]``, as in ``8080:80``: the host's port, and the guest's, which is the same when left
out. The address is numeric, one of IPv6 in brackets; without one the port is bound to 127.0.0.1.

What is on record is a promise: it is refused before a machine is made, where it cannot be kept. A machine without an
address of its own that the host reaches owns a loopback address of the host besides, which is what its name answers;
each guest port that is published is bound there too, under its own number, where whoever runs the daemon may
(`places`). So ``NAME.vm:80`` is port 80 of the guest wherever it is anything.
"""

import re
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, ip_address

import msgspec

from banger import errors
from banger.text import printable

LOOPBACK = "127.0.0.1"

MOST = 64
"""Ports of one machine that can be published."""

_FORM = re.compile(
    r"(?:(?P<address>[0-9]+(?:\.[0-9]+){3}|\[[0-9A-Fa-f:.]+\]):)?(?P<port>[0-9]+)(?::(?P<guest>[0-9]+))?"
)


class Place(msgspec.Struct, frozen=True):
    """Where something listens on the host."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    @property
    def open(self) -> bool:
        """Whether other hosts may reach it."""
        return not ip_address(self.address).is_loopback


class Published(msgspec.Struct, frozen=True):
    """One on a machine's record."""

    address: str
    port: int
    guest: int

    @property
    def place(self) -> Place:
        return Place(self.address, self.port)


def parse(text: str) -> Published:
    """What is written so. Raises `errors.UsageError`."""
    address, port, guest = _parts(text)
    return Published(address or LOOPBACK, port, port if guest is None else guest)


def _parts(text: str) -> tuple[str | None, int, int | None]:
    found = _FORM.fullmatch(text)
    if not found:
        detail = f"{printable(text, 80)!r} is not of the form [ADDRESS:]PORT[:GUEST], as in 8080:80"
        raise errors.UsageError(detail=detail)
    address, guest = found["address"], found["guest"]
    return address and _address(address), _number(found["port"]), None if guest is None else _number(guest)


def _number(text: str) -> int:
    if len(text) > 5 or not 1 <= int(text) <= 65535:
        raise errors.UsageError(detail=f"{text[:20]} is not a port: ports are 1 to 65535")
    return int(text)


def _address(text: str) -> str:
    try:
        return str(ip_address(text.strip("[]")))
    except ValueError:
        raise errors.UsageError(detail=f"{text[:80]} is not a numeric address of this host") from None


def read(texts: Sequence[str], present: Collection[Published] = ()) -> tuple[Published, ...]:
    """Several, in addition to those that are there. Raises `errors.UsageError`, also for what is there twice."""
    found = [*present]
    for each in map(parse, texts):
        if any(each.place == other.place for other in found):
            raise errors.UsageError(detail=f"{each.place} is published twice")
        found.append(each)
    if len(found) > MOST:
        raise errors.UsageError(detail=f"a machine has at most {MOST} published ports")
    return tuple(found)


def without(present: Sequence[Published], texts: Sequence[str]) -> tuple[Published, ...]:
    """Those that stay when some are taken back; a part that is not written may be any. Raises `errors.UsageError`."""
    left = list(present)
    for text in texts:
        address, port, guest = _parts(text)
        meant = [
            each
            for each in left
            if port == each.port and address in (None, each.address) and guest in (None, each.guest)
        ]
        if not meant:
            raise errors.UsageError(detail=f"{text} is not published")
        left = [each for each in left if each not in meant]
    return tuple(left)


def places(published: Collection[Published], own: IPv4Address | None) -> dict[Place, int]:
    """Where each of these ports is to be bound besides its own place, and which port of the guest that leads to.

    ``own`` is the loopback address that the machine owns, if it owns one.
    """
    taken = {each.place for each in published}
    wanted = {} if own is None else {Place(str(own), each.guest): each.guest for each in published}
    return {place: guest for place, guest in wanted.items() if place not in taken}
