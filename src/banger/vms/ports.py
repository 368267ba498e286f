"""What listens in a machine, as its host sees it: the ways there, and what is spoken at their ends.

A host reaches a machine by one address of IPv4, or, where it has only a user-mode network, by none. So a socket has an
endpoint when the machine has such an address and the socket is bound to it or to all addresses. What a port speaks is
found out inside the guest (`banger.guest.web`), for all that are not bound to its loopback alone.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv6Address

from banger import errors
from banger.api.port import Port, Unreachable, VmPorts
from banger.guest.listeners import Listener, Listeners
from banger.guest.web import Scheme
from banger.net.zone import DOMAIN
from banger.vmm.driver import TapNetwork
from banger.vms.record import VmRecord

AT_ONCE = 16
"""Ports that are asked at a time: the agent's streams are there for commands as well."""

ALL_SECONDS = 3.0
"""How long asking may take altogether; what was not asked by then is not known."""

Place = tuple[str, int]
"""A port in the guest, and a numeric address at which it is found there."""

Ask = Callable[[int, str], Awaitable[Scheme | None]]


def unreachable(record: VmRecord, address: IPv4Address | IPv6Address) -> Unreachable | None:
    """Why the host has no way to what is bound to that address; None where it has one."""
    own = IPv4Interface(record.network.address).ip if record.network else None
    if address.is_loopback:
        return "loopback"
    if not address.is_unspecified and address != own:
        return "address"
    return None if isinstance(record.network, TapNetwork) else "network"


def place(record: VmRecord, each: Listener) -> Place | None:
    """Where a socket can be asked what it speaks; None for what only the guest itself reaches, and for datagrams."""
    if each.transport != "tcp" or unreachable(record, each.address) in ("loopback", "address"):
        return None
    return ("127.0.0.1" if each.address.is_unspecified else str(each.address)), each.port


async def schemes(record: VmRecord, listening: Listeners, ask: Ask) -> dict[Place, Scheme]:
    """What the ports speak that can be asked, side by side; a failure of the agent means that it is not known."""
    found: dict[Place, Scheme] = {}
    turns = asyncio.Semaphore(AT_ONCE)

    async def learn(host: str, port: int) -> None:
        async with turns:
            if (spoken := await ask(port, host)) is not None:
                found[host, port] = spoken

    places = {place(record, each): None for each in listening.sockets}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ALL_SECONDS):
            asked = (learn(*each) for each in places if each is not None)
            for failure in await asyncio.gather(*asked, return_exceptions=True):
                if isinstance(failure, BaseException) and not isinstance(failure, errors.BangerError):
                    raise failure
    return found


def view(record: VmRecord, listening: Listeners, spoken: Mapping[Place, Scheme]) -> VmPorts:
    """The machine's sockets as clients see them."""
    own = record.network.address.partition("/")[0] if isinstance(record.network, TapNetwork) else None
    ports = [_port(record, each, spoken) for each in listening.sockets]
    return VmPorts(id=record.id, name=record.name, address=own, ports=ports, complete=listening.complete)


def _port(record: VmRecord, each: Listener, spoken: Mapping[Place, Scheme]) -> Port:
    reason = unreachable(record, each.address)
    endpoint = None if reason else f"{record.name}.{DOMAIN.decode()}:{each.port}"
    where = place(record, each)
    scheme = spoken.get(where) if where else None
    return Port(
        protocol=each.transport if each.address.version == 4 else "tcp6" if each.transport == "tcp" else "udp6",
        address=str(each.address),
        port=each.port,
        pid=each.pid,
        process=each.process or None,
        endpoint=endpoint,
        unreachable=reason,
        scheme=scheme,
        link=f"{scheme}://{endpoint}/" if scheme and endpoint else None,
    )
