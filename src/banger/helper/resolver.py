"""The host's own look-ups of names below ``vm``: through systemd-resolved, to the daemon's DNS server.

The setting hangs on the bridge: it is resolved's own record of that link, gone with it, and reverted by `undo`.
"""

import os
from dataclasses import dataclass
from typing import ClassVar

from . import grammar, links, program
from .bridge import ours
from .host import Host
from .operation import Failed, Operation, Outcome, Refused

RESOLVED = "/run/systemd/resolve"
DOMAIN = "vm"
RECIPES = "docs/howto/resolve-names.md"


@dataclass(frozen=True, kw_only=True)
class Resolver(Operation):
    """Names below ``vm`` are asked of the server at the bridge's address and that port."""

    NAME: ClassVar[str] = "resolver.route"
    GATE: ClassVar[str] = (
        "Any link but the installation's bridge, any server but at its address, any domain but vm, and a port below "
        "1024."
    )

    port: int

    def validate(self, host: Host) -> None:
        grammar.bridge(host.bridge)
        if not 1024 <= self.port <= 65535:
            raise Refused(f"{self.port} is not a port for the resolver")

    def describe(self) -> str:
        return f"route names below {DOMAIN} to port {self.port}"

    def execute(self, host: Host, descriptors: object = ()) -> Outcome:
        self.validate(host)
        if not os.path.isdir(RESOLVED):
            raise Failed(f"systemd-resolved does not run here; {RECIPES} has ways without it")
        if not _bridge(host):
            raise Failed(f"the bridge {host.bridge} is not there")
        program.run("resolvectl", "dns", host.bridge, f"{host.network.ip}:{self.port}")
        program.run("resolvectl", "domain", host.bridge, f"~{DOMAIN}")
        program.run("resolvectl", "default-route", host.bridge, "false")
        return Outcome()

    def undo(self, host: Host) -> None:
        if os.path.isdir(RESOLVED) and _bridge(host):
            program.run("resolvectl", "revert", host.bridge)


def _bridge(host: Host) -> bool:
    """Whether our bridge is there. Raises `Refused` when somebody else's is."""
    found = links.show(grammar.bridge(host.bridge))
    if found is not None and not ours(found, host):
        raise Refused(f"{host.bridge} is a link that banger did not make")
    return found is not None
