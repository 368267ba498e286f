"""Taps made ahead of time, so that a machine's start need not wait for one.

A tap belongs to the user of one slot, and a new machine takes the smallest free slot. So the pool is a set of slots
whose taps are there: first of all those that the next machines will get. An idle tap is room for a machine, not
something left behind; far more of them than the pool's size are taken away again.

One warmer at a time. It makes a few taps at once, and stops when a whole batch has failed: the next machine then makes
its own tap, and reports why it cannot. What happens to one slot's tap happens in turn.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable

from banger import errors

log = logging.getLogger("banger.net")

AT_ONCE = 4
"""How many taps are made at a time."""

Act = Callable[[int], Awaitable[None]]


class TapPool:
    """Keeps ``size`` taps ready. ``create`` and ``remove`` make and take away the tap of a slot."""

    def __init__(self, size: int, create: Act, remove: Act) -> None:
        self.size = size
        self.idle: set[int] = set()
        """Slots whose taps are there, and used by nobody."""
        self.used: set[int] = set()
        self._create = create
        self._remove = remove
        self._turns: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._warmer: asyncio.Task[None] | None = None

    async def obtain(self, slot: int, *, anew: bool = False) -> None:
        """The tap of that slot, for a machine; ``anew`` when it turned out not to be there. Raises as ``create``."""
        async with self._turns[slot]:
            if anew or slot not in self.idle:
                await self._create(slot)
            self.idle.discard(slot)
            self.used.add(slot)

    def give_back(self, slot: int) -> None:
        """The machine needs it no more. The tap stays."""
        if slot in self.used:
            self.used.discard(slot)
            self.idle.add(slot)

    def warm(self, taken: Iterable[int], limit: int) -> None:
        """In the background, see to the taps of the smallest slots below ``limit`` that are not ``taken``."""
        if self.size and (self._warmer is None or self._warmer.done()):
            self._warmer = asyncio.create_task(self._balance(set(taken), limit))

    async def settle(self) -> None:
        """Wait for the warmer that is at work, if any."""
        if self._warmer is not None:
            await asyncio.gather(self._warmer, return_exceptions=True)

    async def close(self) -> None:
        """Make no more; what is there stays."""
        if self._warmer is not None:
            self._warmer.cancel()
            await self.settle()

    async def _balance(self, taken: set[int], limit: int) -> None:
        wanted = [slot for slot in range(limit) if slot not in taken][: self.size]
        missing = [slot for slot in wanted if slot not in self.idle]
        for at in range(0, len(missing), AT_ONCE):
            batch = missing[at : at + AT_ONCE]
            if not any(await asyncio.gather(*map(self._make, batch))):
                return
        surplus = sorted(self.idle.difference(wanted), reverse=True)
        for slot in surplus[: max(0, len(self.idle) - 2 * self.size)]:
            await self._drop(slot)

    async def _make(self, slot: int) -> bool:
        async with self._turns[slot]:
            if slot in self.used or slot in self.idle:
                return True
            try:
                await self._create(slot)
            except errors.BangerError as error:
                log.warning("no tap for slot %d ahead of time: %s", slot, error.message)
                return False
            self.idle.add(slot)
            return True

    def wanted(self, taken: Iterable[int], limit: int) -> set[int]:
        """Slots whose taps may be there: those in use, and the smallest that are free, twice as many as are warmed."""
        known = set(taken)
        free = [slot for slot in range(limit) if slot not in known][: 2 * self.size]
        return {*known, *self.used, *self.idle, *free}

    async def discard(self, slot: int) -> None:
        """Take away a tap that another daemon has left, unless somebody has it by now. Raises as ``remove``."""
        async with self._turns[slot]:
            if slot not in self.used and slot not in self.idle:
                await self._remove(slot)

    async def _drop(self, slot: int) -> None:
        async with self._turns[slot]:
            if slot not in self.idle:
                return
            self.idle.discard(slot)
            try:
                await self._remove(slot)
            except errors.BangerError as error:
                log.warning("the idle tap of slot %d stays: %s", slot, error.message)
