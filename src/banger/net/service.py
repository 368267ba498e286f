"""The guests' network as machines' changes see it: a guest is connected, changed, disconnected.

What is wanted is kept here as the whole list of connected guests, which a daemon's start gives anew (`recover`); every
change applies all of it. Changes that come while one is being applied are applied together by the next, so a hundred
machines that start at once cost a few transactions; and each waits for one that began after it had said what it wants.
"""

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from banger import errors
from banger.net import plan
from banger.net.nameserver import Server
from banger.net.plan import Plan
from banger.net.pool import TapPool
from banger.privileged.operations import Bridge, GuestRule, Resolver, Rules, Standing, Tap
from banger.privileged.runner import Privileged

log = logging.getLogger("banger.net")

_TAP = "tap-fc-"


class Guest(msgspec.Struct, frozen=True, kw_only=True):
    """A machine on the network, and what it may reach. See `banger.helper.ruleset.GuestRule`."""

    slot: int
    nat: bool = False
    private: bool = False
    peers: bool = False
    host: bool = False
    metadata: bool = False


class Cable(NamedTuple):
    """What a guest and its monitor must know to be on the network; the fields of a driver's TapNetwork."""

    tap: str
    address: str
    """With the prefix length of the network."""
    gateway: str
    dns: str
    mac: str


class GuestNetwork:
    """The bridge and everything on it. ``taken`` gives the slots of all machines on record.

    ``upstream`` is the name server that guests are told of; ``server`` is ours, which guests and the host ask at the
    bridge's address and ``port``.
    """

    def __init__(
        self,
        privileged: Privileged,
        server: Server,
        *,
        port: int,
        upstream: str,
        pool_size: int,
        taken: Callable[[], Iterable[int]],
    ) -> None:
        self.plan = Plan(privileged.host.network)
        self.bridge = privileged.host.bridge
        self.names_problem = "no machine has needed the network yet"
        """Why the host's resolver does not lead to ours; empty when it does."""
        self._privileged = privileged
        self._server = server
        self._port = port
        self._upstream = upstream
        self._taken = taken
        self._guests: dict[int, Guest] = {}
        self._opened = False
        self._opening = asyncio.Lock()
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[Sequence[str]] | None = None
        self.pool = TapPool(pool_size, self._make_tap, self._remove_tap)

    # -- machines' changes ------------------------------------------------------------------------------------------

    @property
    def opened(self) -> bool:
        """Whether the bridge is there: not before a machine needs it."""
        return self._opened

    async def recover(self, guests: Iterable[Guest]) -> None:
        """Take over from an earlier daemon: these run. Raises what operations raise."""
        for guest in guests:
            self._guests[guest.slot] = guest
            self.pool.used.add(guest.slot)
        if self._guests:
            await self._open()
            await self._applied()

    async def connect(self, guest: Guest, *, change: str = "") -> Cable:
        """Everything that the guest's monitor needs to be on the network, rules first.

        Raises `errors.NetworkFull` and what operations raise; then the guest is not on the network.
        """
        slot = guest.slot
        made = Cable(
            tap=plan.tap(slot),
            address=self.plan.interface(slot),
            gateway=str(self.plan.bridge.ip),
            dns=self._upstream,
            mac=self.plan.mac(slot),
        )
        await self._open(change)
        await self.pool.obtain(slot)
        self._guests[slot] = guest
        try:
            if made.tap in await self._applied():
                await self._mend(slot, change)
        except BaseException:
            self._guests.pop(slot, None)
            self.pool.give_back(slot)
            raise
        self.pool.warm({*self._taken(), *self._guests}, self.plan.capacity)
        return made

    async def change(self, guest: Guest) -> None:
        """What a connected guest may reach from now on."""
        if guest.slot in self._guests:
            self._guests[guest.slot] = guest
            await self._applied()

    async def disconnect(self, slot: int) -> None:
        """Take a guest off the network, whose monitor has ended; its tap stays for the next in that slot."""
        known = self._guests.pop(slot, None)
        self.pool.give_back(slot)
        if known is not None:
            await self._applied()

    def surplus(self, interfaces: str = "/sys/class/net") -> list[int]:
        """Slots whose taps are there, and no machine has the slot and none will get it next."""
        there = os.listdir(interfaces) if os.path.isdir(interfaces) else []
        slots = {int(each.removeprefix(_TAP)) for each in there if re.fullmatch(_TAP + r"\d{1,6}", each)}
        return sorted(slots - self.pool.wanted(self._taken(), self.plan.capacity))

    async def discard(self, slot: int) -> None:
        """Take such a tap away. Raises what operations raise."""
        if slot not in set(self._taken()):
            await self.pool.discard(slot)

    async def close(self) -> None:
        """Leave it as it is for the machines, which go on; names are not routed to a server that is gone."""
        await self.pool.close()
        if self._opened and not self.names_problem:
            try:
                await self._privileged.revert(Resolver(port=self._port))
            except errors.BangerError as error:
                log.warning("names stay routed: %s", error.message)

    async def standing(self) -> Mapping[str, object] | None:
        """What root sees of the rules that should be in force (`operations.Standing`); None before they are needed.

        Only looks, between two changes. Raises what operations raise.
        """
        while self._opened:
            async with self._turn:
                if self._next is None:
                    wanted = Standing(guests=self._rules(), resolver=self._resolver())
                    return (await self._privileged.perform(wanted)).values
            with contextlib.suppress(errors.BangerError):
                await asyncio.shield(self._next)
        return None

    # -- how --------------------------------------------------------------------------------------------------------

    async def _open(self, change: str = "") -> None:
        """The bridge, and names on it: once."""
        async with self._opening:
            if self._opened:
                return
            await self._privileged.perform(Bridge(), change=change)
            self.names_problem = await self._route_names()
            self._opened = True

    async def _route_names(self) -> str:
        """Answer at the bridge's address and lead the host's resolver there; why it cannot be done."""
        if not self._port:
            return "the DNS server is switched off (dns_port = 0)"
        address = str(self.plan.bridge.ip)
        try:
            await self._server.listen(address, self._port)
            await self._privileged.perform(Resolver(port=self._port))
        except OSError as error:
            return f"{address} port {self._port}: {error.strerror or error}"
        except errors.BangerError as error:
            return error.message
        return ""

    async def _mend(self, slot: int, change: str) -> None:
        """A tap that was thought to be there was not: somebody has removed it, or the bridge with it."""
        await self._privileged.perform(Bridge(), change=change)
        await self.pool.obtain(slot, anew=True)
        if plan.tap(slot) in await self._applied():
            raise errors.PrivilegeFailed(operation=Tap.NAME, reason=f"{plan.tap(slot)} does not stay", busy=False)

    async def _make_tap(self, slot: int) -> None:
        await self._privileged.perform(Tap(slot=slot))

    async def _remove_tap(self, slot: int) -> None:
        await self._privileged.revert(Tap(slot=slot))

    async def _applied(self) -> Sequence[str]:
        """Return when rules are in force that were made after this call; the taps that are not there."""
        if self._next is None:
            self._next = asyncio.create_task(self._apply())
            self._next.add_done_callback(lambda task: task.cancelled() or task.exception())  # whoever waits has it
        return await asyncio.shield(self._next)

    async def _apply(self) -> Sequence[str]:
        async with self._turn:
            self._next = None
            outcome = await self._privileged.perform(Rules(guests=self._rules(), resolver=self._resolver()))
        repaired = outcome.values["repaired"]
        if repaired:
            log.warning("the packet filter's tables had been edited by hand, and are put right: %s", repaired)
        missing = outcome.values["missing"]
        assert isinstance(missing, list)
        return missing

    def _rules(self) -> tuple[GuestRule, ...]:
        return tuple(map(self._rule, self._guests.values()))

    def _resolver(self) -> int:
        """The port that guests' questions go to; 0 while nobody listens on the bridge."""
        return self._port if str(self.plan.bridge.ip) in map(str, self._server.addresses) else 0

    def _rule(self, guest: Guest) -> GuestRule:
        return GuestRule(
            tap=plan.tap(guest.slot),
            address=str(self.plan.address(guest.slot)),
            mac=self.plan.mac(guest.slot),
            nat=guest.nat,
            private=guest.private,
            peers=guest.peers,
            host=guest.host,
            metadata=guest.metadata,
        )
