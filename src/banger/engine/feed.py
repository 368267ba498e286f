"""A change as its followers see it: the latest state, at each reader's own pace.

Nothing is queued for a reader: one that is slow misses what came between and gets the newest. So a thousand steps and
a follower that never reads cost the memory of one `Operation`. Mere progress wakes readers at most ten times a second;
a step that began or ended wakes them at once.
"""

import asyncio
from collections.abc import AsyncGenerator

from banger.api.operation import Operation

INTERVAL = 0.1
"""Shortest time between two announcements of mere progress, in seconds."""


class Feed:
    """The latest `Operation` of one change; used on the event loop only."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.closed = False
        self._version = 0
        self._readers = 0
        self._changed: asyncio.Event | None = None
        """Waited for by readers; None without any."""
        self._announced = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def publish(self, operation: Operation, *, at_once: bool) -> None:
        """Replace the latest state, and wake the readers now or soon."""
        self.operation = operation
        if at_once or not self._readers:
            self._announce()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            wait = self._announced + INTERVAL - loop.time()
            if wait <= 0:
                self._announce()
            else:
                self._timer = loop.call_later(wait, self._announce)

    def _announce(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._announced = asyncio.get_running_loop().time()
        self._version += 1
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set()

    async def _change(self) -> None:
        """Wait for the next announcement."""
        if self._changed is None:
            self._changed = asyncio.Event()
        await self._changed.wait()

    def close(self) -> None:
        """End the readers although the change has not ended: the daemon is about to end."""
        self.closed = True
        self._announce()

    async def follow(self) -> AsyncGenerator[Operation, None]:
        """The state now and after every announcement, up to and including the end."""
        self._readers += 1
        try:
            while True:
                version = self._version
                operation = self.operation
                yield operation
                if operation.ended:
                    return
                if version == self._version:
                    await self._change()
                if self.closed and not self.operation.ended:
                    return
        finally:
            self._readers -= 1

    async def ended(self) -> Operation:
        """Wait for the end, or for `close`."""
        while not (self.operation.ended or self.closed):
            await self._change()
        return self.operation
