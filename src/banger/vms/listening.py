"""A port of the host whose connections go on inside a machine.

Only the host's side ever asks: a connection is accepted here and then made in the guest. For each machine there is a
number of places for connections; who comes when all are taken waits in the kernel's queue. A place is free when the
guest, too, has nothing of its connection any more.
"""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager

from banger import errors
from banger.guest.connection import GuestConnection
from banger.guest.relay import relay, resettable
from banger.vms.published import Place

log = logging.getLogger("banger.vms.forwards")

BACKLOG = 1024

DIAL_SECONDS = 30.0
"""How long a guest may take to accept a connection."""

REASONS = {
    errno.EADDRINUSE: "something else listens there",
    errno.EACCES: "ports so low are root's",
    errno.EADDRNOTAVAIL: "this host has no such address",
}

Dial = Callable[[int], Awaitable[GuestConnection]]
"""Makes a connection inside a machine that runs, to a port of its loopback."""


def bind(place: Place) -> socket.socket:
    """A socket that listens there. Raises `errors.PortUnavailable`."""
    with contextlib.ExitStack() as undoing:
        try:
            made = undoing.enter_context(socket.socket(socket.AF_INET6 if ":" in place.address else socket.AF_INET))
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # an earlier daemon's connections are in no way
            if made.family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.bind((place.address, place.port))
            made.listen(BACKLOG)
            made.setblocking(False)
        except OSError as error:
            reason = REASONS.get(error.errno or 0, error.strerror or str(error))
            raise errors.PortUnavailable(port=place.port, address=place.address, reason=reason) from error
        undoing.pop_all()
    return made


class Listener:
    """Listens from its making on, until `close`. ``using`` notes that the machine is in use."""

    def __init__(
        self,
        place: Place,
        guest: int,
        places: asyncio.Semaphore,
        dial: Dial,
        using: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Raises `errors.PortUnavailable`."""
        self.guest = guest
        self._place = place
        self._places = places
        self._dial, self._using = dial, using
        self._socket = bind(place)
        self._carried: set[asyncio.Task[None]] = set()
        self._task = asyncio.create_task(self._accept(), name=f"listening on {place}")
        # not before the loop looks at it no more, and also where nobody waits for that
        self._task.add_done_callback(lambda _: self._socket.close())

    async def close(self) -> None:
        """Free the port, and break off what came by it."""
        tasks = [self._task, *self._carried]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                host, _ = await loop.sock_accept(self._socket)
            except OSError as error:  # too many files are open, or it has ended while it waited
                log.warning("%s: cannot accept a connection: %s", self._place, error.strerror)
                await asyncio.sleep(1)
                continue
            with contextlib.suppress(OSError):  # it may have ended by now, which is seen in a moment
                resettable(host)
            try:
                await self._places.acquire()
            except asyncio.CancelledError:
                host.close()
                raise
            _Connection(host, self._places).begin(self._carry, self._carried)

    async def _carry(self, connection: "_Connection") -> None:
        try:
            with self._using():
                async with asyncio.timeout(DIAL_SECONDS):
                    connection.guest = await self._dial(self.guest)
                await relay(connection.host, connection.guest)
        except (OSError, errors.BangerError) as broken:  # a time limit is an OSError
            log.debug("%s: a connection broke: %s", self._place, broken)


class _Connection:
    """One that was accepted, and has a place."""

    def __init__(self, host: socket.socket, places: asyncio.Semaphore) -> None:
        self.host = host
        self.guest: GuestConnection | None = None
        self._places = places

    def begin(self, carry: Callable[["_Connection"], Awaitable[None]], carried: set["asyncio.Task[None]"]) -> None:
        task = asyncio.ensure_future(carry(self))
        carried.add(task)
        task.add_done_callback(carried.discard)
        task.add_done_callback(lambda _: self._end())  # also of a task that was cancelled before it began

    def _end(self) -> None:
        self.host.close()
        if self.guest is None:
            self._places.release()
        else:
            self.guest.reset()
            self.guest.when_ended(self._places.release)
