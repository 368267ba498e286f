"""What is forwarded into machines: by which ports of the host, and for how long.

A guest has no say in where anything leads. What a machine publishes is bound from its start to its end; what a client
wants, for as long as it stays (`Forwards.hold`). Nothing of it is on disk but the record of what is published, from
which the next daemon binds it again.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from ipaddress import ip_address

from banger import errors
from banger.guest import wire
from banger.guest.connection import GuestConnection
from banger.vms.listening import Listener, bind
from banger.vms.published import Place

log = logging.getLogger("banger.vms.forwards")

AT_ONCE = wire.CONNECTIONS - 32
"""Connections into one machine; the rest of what an agent makes is for others who need one."""

RETRY_SECONDS = 5.0
"""How often a port that could not be bound again is tried."""

Targets = Mapping[Place, int]
"""Ports of the host, and the guest's that they lead to."""

Dial = Callable[[str, int], Awaitable[GuestConnection]]
"""`banger.vms.listening.Dial`, of a machine by its id."""

Using = Callable[[str], AbstractContextManager[None]]


class _Machine:
    """What leads into one machine."""

    def __init__(self, id: str, dial: Dial, using: Using) -> None:
        self.id = id
        self.listeners: dict[Place, Listener] = {}
        self.published: dict[Place, int] = {}
        """What is to be bound; `listeners` has what is, and what is held besides."""
        self.problems: dict[Place, str] = {}
        self.ended = asyncio.Event()
        self._make = partial(
            Listener, places=asyncio.Semaphore(AT_ONCE), dial=partial(dial, id), using=partial(using, id)
        )

    def listen(self, place: Place, guest: int) -> None:
        """Raises `errors.PortUnavailable`."""
        self.listeners[place] = self._make(place, guest)
        self.problems.pop(place, None)

    async def drop(self, places: Collection[Place]) -> None:
        """Listen there no more."""
        gone = [self.listeners.pop(place) for place in places if place in self.listeners]
        for place in places:
            self.problems.pop(place, None)
        await asyncio.gather(*(each.close() for each in gone))


class Forwards:
    """Those of one daemon, by machine. ``name`` tells what a machine is called."""

    def __init__(self, dial: Dial, using: Using, name: Callable[[str], str]) -> None:
        self._dial, self._using, self._name = dial, using, name
        self._machines: dict[str, _Machine] = {}
        self._keeper: asyncio.Task[None] | None = None

    def check(self, vm_id: str, wanted: Collection[Place]) -> None:
        """Raises `errors.PortUnavailable` where a port cannot be bound now, and is not bound for this machine."""
        bound = self.bound(vm_id)
        for place in wanted:
            if place not in bound:
                with self._whose(place):
                    bind(place).close()

    async def publish(self, vm_id: str, wanted: Targets, beside: Targets) -> None:
        """Bind all that a machine publishes, and no more; what is bound already goes on with its connections.

        Raises `errors.PortUnavailable` for one of ``wanted``, and has bound nothing that is new then. What is
        ``beside`` them is bound where it can be.
        """
        machine = self._of(vm_id)
        await _leave(machine, {**wanted, **beside})
        new = [place for place in wanted if place not in machine.listeners]
        try:
            for place in new:
                with self._whose(place):
                    machine.listen(place, wanted[place])
        except errors.PortUnavailable:
            await machine.drop(new)
            raise
        _bind_beside(machine, beside)
        machine.published = {**wanted, **beside}

    async def publish_again(self, vm_id: str, wanted: Targets, beside: Targets) -> None:
        """The same of a machine that runs: a port that cannot be bound is told of (`problem`), and tried again."""
        machine = self._of(vm_id)
        await _leave(machine, {**wanted, **beside})
        machine.published = {**wanted, **beside}
        for place, guest in wanted.items():
            if place not in machine.listeners and (reason := self._problem(machine, place, guest)):
                log.warning("%s does not lead into machine %s: %s", place, vm_id, reason)
        _bind_beside(machine, beside)
        if machine.problems and self._keeper is None:
            self._keeper = asyncio.create_task(self._try_again(), name="keeper of ports")

    def _problem(self, machine: _Machine, place: Place, guest: int) -> str:
        """Listen, or note why that cannot be."""
        try:
            with self._whose(place):
                machine.listen(place, guest)
        except errors.PortUnavailable as failed:
            machine.problems[place] = str(failed.data["reason"])
        return machine.problems.get(place, "")

    async def _try_again(self) -> None:
        """What was taken may be free by now."""
        while any(each.problems for each in self._machines.values()):
            await asyncio.sleep(RETRY_SECONDS)
            for machine in list(self._machines.values()):
                for place in list(machine.problems):
                    if not self._problem(machine, place, machine.published[place]):
                        log.info("%s leads into machine %s now", place, machine.id)
        self._keeper = None

    @contextlib.asynccontextmanager
    async def hold(self, vm_id: str, wanted: Targets) -> AsyncIterator[asyncio.Event]:
        """Forward ports for the length of a block; what is given is set when the machine has ended before.

        Raises `errors.PortUnavailable`.
        """
        machine = self._of(vm_id)
        bound: list[Place] = []
        try:
            for place, guest in wanted.items():
                with self._whose(place):
                    machine.listen(place, guest)
                bound.append(place)
            yield machine.ended
        finally:
            if not machine.ended.is_set():
                await machine.drop(bound)

    async def release(self, vm_id: str) -> None:
        """Free all that leads into a machine, which has ended or is about to. Idempotent."""
        machine = self._machines.pop(vm_id, None)
        if machine is not None:
            machine.ended.set()
            await machine.drop([*machine.listeners, *machine.problems])

    def bound(self, vm_id: str) -> dict[Place, int]:
        """Where somebody listens for a machine, and which port of the guest that leads to."""
        machine = self._machines.get(vm_id)
        return {} if machine is None else {place: each.guest for place, each in machine.listeners.items()}

    def problem(self, vm_id: str, place: Place) -> str | None:
        """Why nobody listens there, where that was tried."""
        machine = self._machines.get(vm_id)
        return machine.problems.get(place) if machine is not None else None

    async def close(self) -> None:
        """Free everything; connections end with a reset."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        for vm_id in list(self._machines):
            await self.release(vm_id)

    def _of(self, vm_id: str) -> _Machine:
        return self._machines.setdefault(vm_id, _Machine(vm_id, self._dial, self._using))

    @contextlib.contextmanager
    def _whose(self, place: Place) -> Iterator[None]:
        """Say whose a port is that is taken, where it leads into one of the machines."""
        try:
            yield
        except errors.PortUnavailable as failed:
            for machine in self._machines.values():
                if any(_overlap(place, each) for each in machine.listeners):
                    failed.data["reason"] = f"it leads into the machine {self._name(machine.id)!r}"
                    raise errors.PortUnavailable(**failed.data) from failed
            raise


async def _leave(machine: _Machine, wanted: Targets) -> None:
    """Drop what is published no more, or leads elsewhere from now on."""
    left = [place for place, guest in machine.published.items() if wanted.get(place) != guest]
    await machine.drop(left)
    for place in left:
        del machine.published[place]


def _bind_beside(machine: _Machine, beside: Targets) -> None:
    for place, guest in beside.items():
        if place not in machine.listeners:
            with contextlib.suppress(errors.PortUnavailable):
                machine.listen(place, guest)


def _overlap(one: Place, other: Place) -> bool:
    """Whether two places cannot both be bound."""
    unspecified = any(ip_address(each.address).is_unspecified for each in (one, other))
    return one.port == other.port and (one.address == other.address or unspecified)
