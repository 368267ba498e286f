"""What listens in a machine, as its host sees it: the ways there, and what is spoken at their ends.

A host reaches a machine by one address of IPv4, or, where it has only a user-mode network, by none. So a socket has an
endpoint when the machine has such an address and the socket is bound to it or to all addresses. Ports of the host that
are forwarded lead to the guest's loopback, and so to what is bound to that or to all addresses. What a port speaks is
found out inside the guest (`banger.guest.web`), for all that the host has a way to, or could have.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv6Address

from banger import errors
from banger.api.port import Forward, Port, Unreachable, VmPorts
from banger.guest.listeners import Listener, Listeners
from banger.guest.web import Scheme
from banger.net.zone import DOMAIN
from banger.vmm.driver import TapNetwork
from banger.vms import published, resolving
from banger.vms.published import Place as Bound
from banger.vms.record import VmRecord

AT_ONCE = 16
"""Ports that are asked at a time: the agent's streams are there for commands as well."""

ALL_SECONDS = 3.0
"""How long asking may take altogether; what was not asked by then is not known."""

Place = tuple[str, int]
"""A port in the guest, and a numeric address at which it is found there."""

Ways = Mapping[int, Sequence[Bound]]
"""Where the host listens, by the guest's port that this leads to."""

LOOPBACK = ("127.0.0.1", "::1")
"""Where a forwarded connection is made."""

NONE: Ways = {}

Ask = Callable[[int, str], Awaitable[Scheme | None]]


def unreachable(record: VmRecord, address: IPv4Address | IPv6Address) -> Unreachable | None:
    """Why the host has no way to what is bound to that address; None where it has one."""
    own = IPv4Interface(record.network.address).ip if record.network else None
    if address.is_loopback:
        return "loopback"
    if not address.is_unspecified and address != own:
        return "address"
    return None if isinstance(record.network, TapNetwork) else "network"


def ways(bound: Mapping[Bound, int]) -> Ways:
    """The ways that there are; those by 127.0.0.1 first."""
    found: dict[int, list[Bound]] = {}
    for each in sorted(bound, key=lambda each: (each.address != published.LOOPBACK, each.port, each.address)):
        found.setdefault(bound[each], []).append(each)
    return found


def forwarded(each: Listener, ways: Ways) -> Sequence[Bound]:
    """The ways to a socket."""
    if each.transport != "tcp" or not (each.address.is_unspecified or str(each.address) in LOOPBACK):
        return ()
    return ways.get(each.port, ())


def place(record: VmRecord, each: Listener, ways: Ways = NONE) -> Place | None:
    """Where a socket can be asked what it speaks; None for what only the guest itself reaches, and for datagrams."""
    if each.transport != "tcp":
        return None
    if unreachable(record, each.address) in ("loopback", "address") and not forwarded(each, ways):
        return None
    return ("127.0.0.1" if each.address.is_unspecified else str(each.address)), each.port


async def schemes(record: VmRecord, listening: Listeners, ask: Ask, ways: Ways = NONE) -> dict[Place, Scheme]:
    """What the ports speak that can be asked, side by side; a failure of the agent means that it is not known."""
    found: dict[Place, Scheme] = {}
    turns = asyncio.Semaphore(AT_ONCE)

    async def learn(host: str, port: int) -> None:
        async with turns:
            if (spoken := await ask(port, host)) is not None:
                found[host, port] = spoken

    places = {place(record, each, ways): None for each in listening.sockets}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ALL_SECONDS):
            asked = (learn(*each) for each in places if each is not None)
            for failure in await asyncio.gather(*asked, return_exceptions=True):
                if isinstance(failure, BaseException) and not isinstance(failure, errors.BangerError):
                    raise failure
    return found


def view(
    record: VmRecord,
    listening: Listeners,
    spoken: Mapping[Place, Scheme],
    ways: Ways = NONE,
    forwards: Sequence[Forward] = (),
) -> VmPorts:
    """The machine's sockets as clients see them."""
    own = record.network.address.partition("/")[0] if isinstance(record.network, TapNetwork) else None
    ports = [_port(record, each, spoken, ways) for each in listening.sockets]
    return VmPorts(
        id=record.id,
        name=record.name,
        address=own,
        ports=ports,
        complete=listening.complete,
        forwards=list(forwards),
    )


def _port(record: VmRecord, each: Listener, spoken: Mapping[Place, Scheme], ways: Ways) -> Port:
    reason = unreachable(record, each.address)
    named = Bound(str(resolving.own(record)), each.port)
    leading = forwarded(each, ways)
    by_number = [str(way) for way in leading if way != named]
    endpoint = by_number[0] if by_number else None
    if reason is None or named in leading:
        endpoint = f"{record.name}.{DOMAIN.decode()}:{each.port}"
    where = place(record, each, ways)
    scheme = spoken.get(where) if where else None
    return Port(
        protocol=each.transport if each.address.version == 4 else "tcp6" if each.transport == "tcp" else "udp6",
        address=str(each.address),
        port=each.port,
        pid=each.pid,
        process=each.process or None,
        endpoint=endpoint,
        unreachable=None if endpoint else reason,
        scheme=scheme,
        link=f"{scheme}://{_browsed(leading, named) or endpoint}/" if scheme and endpoint else None,
        forwards=by_number,
    )


def _browsed(leading: Sequence[Bound], named: Bound) -> str | None:
    """The port of the host that a browser on it would take."""
    way = next((each for each in leading if each != named), None)
    if way is None:
        return None
    anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what was bound, by its owner's wish
    return str(Bound(anywhere.get(way.address, way.address), way.port))
