"""What listens in a machine, and how its host reaches it."""

from typing import Literal

import msgspec

Unreachable = Literal["loopback", "address", "network"]
"""Why the host does not reach a socket: it is bound to the guest's loopback; to an address of the guest's that the host
has no way to (another interface, IPv6); or the machine has no network that the host reaches."""


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """A socket that waits for connections (TCP), or for datagrams of anybody (UDP)."""

    protocol: Literal["tcp", "tcp6", "udp", "udp6"]
    """One of IPv6 that is bound to all addresses (``::``) takes IPv4 as well, unless its program has said otherwise."""
    address: str
    """What it is bound to, in the guest."""
    port: int
    pid: int | None = None
    process: str | None = None
    """The name as the guest tells it, made printable. None of both where no process has the socket, or the guest does
    not show whose it is."""
    endpoint: str | None = None
    """How the host reaches it: ``NAME.vm:PORT``, or where that is not so, the first of ``forwards``."""
    unreachable: Unreachable | None = None
    """Why there is no endpoint."""
    scheme: Literal["http", "https"] | None = None
    """What it speaks, where that was found out: asked are ports that more than the guest itself can reach."""
    link: str | None = None
    """What a browser takes, where it has a scheme; by a port of the host if one is forwarded, since that needs no
    name."""
    forwards: list[str] = []
    """Addresses and ports of the host that are forwarded to it: ``127.0.0.1:8080``. What ``NAME.vm`` stands for is told
    by the endpoint."""


class Forward(msgspec.Struct, frozen=True, kw_only=True):
    """A port of the host that leads into a machine.

    It leads to what listens on the port ``guest`` there, on the loopback or on all addresses.
    """

    address: str
    port: int
    guest: int
    error: str | None = None
    """Why nobody listens on it although the machine runs."""


class Forwarded(msgspec.Struct, frozen=True, kw_only=True):
    """What is forwarded for as long as the connection that asked for it stays open."""

    name: str
    """Of the machine."""
    forwards: list[Forward]


class VmPorts(msgspec.Struct, frozen=True, kw_only=True):
    """What listens in one machine. All of it comes from the guest, but for what is forwarded."""

    id: str
    name: str
    address: str | None = None
    """What the host reaches it by where ``NAME.vm`` is not resolved; None where it has no such address."""
    ports: list[Port]
    complete: bool = True
    """False when there were more sockets than an agent tells of, or when looking took it too long."""
    forwards: list[Forward] = []
    """Every port of the host that leads into the machine, whether anything listens at its end or not."""
