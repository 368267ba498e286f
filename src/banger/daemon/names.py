"""``NAME.vm`` for as long as the daemon runs: its DNS server, and what the doctor says of it.

A server that cannot listen keeps nothing else from working; why it cannot is told in the log and by the doctor.
"""

import logging

from banger.config.settings import Config
from banger.net import checks
from banger.net.nameserver import Server
from banger.net.service import GuestNetwork
from banger.net.zone import Zone

log = logging.getLogger("banger.daemon")


class Names:
    """The server on the address that the settings name. The guests' network lets it listen on the bridge as well."""

    def __init__(self, config: Config, zone: Zone) -> None:
        self.server = Server(zone)
        self.problem = ""
        """Why it does not listen, or why the host's resolver is not led to it."""
        self.network: GuestNetwork | None = None
        """Which lets the server listen on its bridge as well, and leads the host's resolver there."""
        self._config = config

    async def start(self) -> None:
        """Begin to answer, if that can be."""
        address, port = self._config.dns_address, self._config.dns_port
        if not port:
            self.problem = "switched off (dns_port = 0)"
            return
        try:
            await self.server.listen(address, port)
        except OSError as error:
            self.problem = f"{address} port {port}: {error.strerror or error}"
            log.warning("names are not answered: %s", self.problem)

    async def row(self) -> checks.Found:
        """For the doctor."""
        listening = self.server.addresses
        if self.network is not None and not self.network.opened and listening:
            at = " and ".join(map(str, listening))
            return "pass", f"NAME.vm is answered at {at}; the first machine leads the host's resolver there", ""
        problem = self.problem or (self.network.names_problem if self.network is not None else "")
        return checks.names(problem, listening, bool(listening) and await checks.routed(listening))

    async def rules(self) -> checks.Found:
        """For the doctor: whether the packet filter stands as it should. Raises what asking root raises."""
        return checks.rules(await self.network.standing() if self.network is not None else None)

    async def close(self) -> None:
        await self.server.close()
