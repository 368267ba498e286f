"""What happens in the daemon, told to whoever listens at that moment.

A listener's events wait for it in a queue of `QUEUE`; when that is full the oldest go, and it is told how many.
So a listener that never reads costs that much memory, and slows nobody.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator

from banger.api.event import Event
from banger.api.operation import Operation

QUEUE = 1000


class Listener:
    """One reader's queue. It listens from its making until `Events.leave`."""

    def __init__(self) -> None:
        self._waiting: deque[Event] = deque()
        self._lost = 0
        self._told = asyncio.Event()

    def tell(self, event: Event) -> None:
        if len(self._waiting) >= QUEUE:
            self._waiting.popleft()
            self._lost += 1
        self._waiting.append(event)
        self._told.set()

    async def events(self) -> AsyncGenerator[Event, None]:
        """Events without end, in order."""
        while True:
            self._told.clear()
            if self._lost:
                lost, self._lost = self._lost, 0
                yield Event(kind="lost", time=time.time(), count=lost)
            while self._waiting and not self._lost:
                yield self._waiting.popleft()
            if not (self._waiting or self._lost):
                await self._told.wait()


class Events:
    """All listeners of one daemon; used on the event loop only."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()

    def listen(self) -> Listener:
        """A listener to everything from now on; `leave` ends it."""
        listener = Listener()
        self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    def operation(self, operation: Operation) -> None:
        """An operation has begun or ended."""
        self._tell(
            Event(
                kind="operation",
                time=operation.finished or operation.started,
                name=operation.subject,
                id=operation.id,
                state=operation.state,
                change=operation.kind,
                reason=operation.error.message if operation.error else "",
            )
        )

    def machine(self, name: str, vm_id: str, state: str, reason: str) -> None:
        """A machine has come to a state."""
        self._tell(Event(kind="machine", time=time.time(), name=name, id=vm_id, state=state, reason=reason))

    def _tell(self, event: Event) -> None:
        for listener in self._listeners:
            listener.tell(event)
