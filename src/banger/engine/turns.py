"""Who is next with a subject: the daemon's own wishes wait for the end of a change, and are not passed over.

A client that finds a subject busy is told so, and asks again or does not. What the daemon itself has to do (delete a
machine that nobody holds any more, end one whose time is over) waits in a queue, first come first served. While
somebody waits, nobody else begins a change of that subject: however many clients ask, a wish waits for the change under
way and for the wishes before it. Its turn lasts until its next await. A wish that a change has fulfilled meanwhile is
in nobody's way.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from banger import errors

Purpose = Callable[[], str]
"""What a wish is about to do, in a word for those who are told to wait; empty once there is nothing left to do."""


class Turns:
    """The queues of one engine; ``free`` tells whether a subject is in no change. Used on the event loop only."""

    def __init__(self, free: Callable[[str], bool]) -> None:
        self._free = free
        self._queues: dict[str, deque[tuple[Purpose, asyncio.Future[None]]]] = {}

    def next(self, subject: str) -> str:
        """What is about to be done by who waits; empty where nothing is."""
        told = (purpose() for purpose, _ in self._queues.get(subject, ()))
        return next((each for each in told if each), "")

    async def wait(self, subject: str, purpose: Purpose) -> None:
        """Wait for a turn. Raises `errors.Interrupted` when the daemon ends first."""
        mine: tuple[Purpose, asyncio.Future[None]] = (purpose, asyncio.get_running_loop().create_future())
        self._queues.setdefault(subject, deque()).append(mine)
        self.grant(subject)
        try:
            await mine[1]
        finally:
            queue = self._queues[subject]
            queue.remove(mine)
            if queue:
                asyncio.get_running_loop().call_soon(self.grant, subject)  # if this turn begins no change
            else:
                del self._queues[subject]

    def grant(self, subject: str) -> None:
        """The subject may be free now: whoever is first goes on."""
        queue = self._queues.get(subject)
        if queue and self._free(subject) and not queue[0][1].done():
            queue[0][1].set_result(None)

    def interrupt(self, subject: str) -> None:
        """Its change is left to the next daemon: waiting would have no end."""
        for _, waiting in self._queues.get(subject, ()):
            if not waiting.done():
                waiting.set_exception(errors.Interrupted())
