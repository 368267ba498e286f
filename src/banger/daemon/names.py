"""``NAME.vm`` for the machines of this daemon: the DNS server, what it answers, and what the doctor says of both.

It listens on the loopback, for whoever leads the host's resolver there by hand, and where machines have a network of
their own also on its bridge, to which the host's resolver is led by itself (`banger.net.service`).
"""

import logging
from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Protocol

from banger.config.settings import Config
from banger.net import checks, plan
from banger.net.checks import Found
from banger.net.nameserver import Server
from banger.net.service import GuestNetwork
from banger.net.zone import Zone
from banger.privileged.runner import Privileged

LOG = logging.getLogger("banger.daemon")

LOOPBACK = "127.0.0.1"


class Named(Protocol):
    """Machines, by their names and addresses."""

    def addresses(self, name: str) -> Sequence[IPv4Address]: ...
    def name_of(self, address: IPv4Address) -> str | None: ...
    def slots(self) -> Sequence[int]: ...


class Names:
    """One daemon's. `machines` is set before anything is asked."""

    machines: Named

    def __init__(self, config: Config, privileged: Privileged | None) -> None:
        self._port = config.dns_port
        self._problem = "the DNS server is switched off (dns_port = 0)"
        self._server = Server(
            Zone(lambda name: self.machines.addresses(name), lambda address: self.machines.name_of(address))
        )
        self.network: GuestNetwork | None = None
        if privileged is not None:
            self.network = GuestNetwork(
                privileged,
                self._server,
                port=config.dns_port,
                upstream=config.guest_dns,
                pool_size=config.tap_pool_size,
                taken=lambda: self.machines.slots(),
            )
            self._server.zone.networks.append(self.network.plan.bridge.network)

    async def open(self) -> None:
        """Answer on the loopback. A port that somebody else has costs names, not the daemon."""
        if not self._port:
            return
        try:
            await self._server.listen(LOOPBACK, self._port)
            self._problem = "nothing leads the host's resolver to it"
        except OSError as error:
            self._problem = f"{LOOPBACK} port {self._port}: {error.strerror or error}"
            LOG.warning("names of machines are not answered: %s", self._problem)

    async def close(self) -> None:
        """Answer no more."""
        await self._server.close()

    async def names(self) -> Found:
        """The doctor's row on names."""
        listening = self._server.addresses
        routed = bool(listening) and await checks.routed(listening)
        problem = self.network.names_problem if self.network is not None else self._problem
        return checks.names(problem, listening, routed)

    async def addresses(self) -> Found:
        """The doctor's row on the guests' network."""
        if self.network is None:
            return "pass", "machines have networks of their own in user mode", ""
        interface = self.network.plan.bridge
        bridge = self.network.bridge
        return checks.addresses(interface.network, plan.host_networks(), bridge)
