"""Time limits of machines: how long one may run, and for how long one may run without being used.

The first is the owner's wish for a machine (``--ttl``). It counts from every start, is on record as a `Deadline`, and
a daemon that finds one passed at its own start acts at once. The second is the host's (``auto_stop_stale_after``); when
a machine was last used is not on record, so it counts anew from the start of the daemon.

Both end a machine in order; an ephemeral one is deleted thereby. Nothing is ended in the middle of another change, and
after waiting for one the limit is looked at again: it may have been moved.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator

from banger import errors
from banger.vms.deadline import HOST, Clock
from banger.vms.record import Machines, VmRecord

log = logging.getLogger("banger.vms.leases")

LONGEST_SLEEP = 30.0
"""How often limits are looked at, at least: a sleeping host wakes us late."""

SHORTEST_SLEEP = 0.02

RETRY = 30.0
"""How long a machine that could not be ended is left alone."""

EXPIRED, UNUSED = "expired", "unused"

End = Callable[[str, str, Callable[[], bool]], Awaitable[None]]
"""Ends a machine: its id, the reason, and what says, once no change is in the way, whether it still holds."""


class Activity:
    """Which machines are in use, and when the others last were; that only where it is ``wanted``."""

    def __init__(self, clock: Clock, *, wanted: bool = True) -> None:
        self._clock = clock
        self._wanted = wanted
        self._open: dict[str, int] = {}
        self._last: dict[str, float] = {}

    def touch(self, vm_id: str) -> None:
        """It is used now."""
        if self._wanted:
            self._last[vm_id] = self._clock.since_boot()

    @contextlib.contextmanager
    def using(self, vm_id: str) -> Iterator[None]:
        """It is used for as long as the block lasts."""
        self._open[vm_id] = self._open.get(vm_id, 0) + 1
        try:
            yield
        finally:
            self._open[vm_id] -= 1
            if not self._open[vm_id]:
                del self._open[vm_id]
            self.touch(vm_id)

    def idle(self, vm_id: str) -> float:
        """For how long it has not been used; one that was never heard of is used now."""
        if vm_id in self._open:
            return 0.0
        now = self._clock.since_boot()
        return now - self._last.setdefault(vm_id, now)

    def keep(self, vm_ids: set[str]) -> None:
        """Forget all other machines."""
        self._last = {vm_id: last for vm_id, last in self._last.items() if vm_id in vm_ids}


class Leases:
    """``occupied`` asks a machine itself whether something runs in it that nobody is attached to."""

    def __init__(
        self,
        machines: Machines,
        end: End,
        occupied: Callable[[VmRecord], Awaitable[bool]],
        stale_after: float,
        clock: Clock = HOST,
    ) -> None:
        self.activity = Activity(clock, wanted=stale_after > 0)
        self._machines = machines
        self._end = end
        self._occupied = occupied
        self._stale_after = stale_after
        self._clock = clock
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look at all limits now, and from now on."""
        self._keeper = asyncio.create_task(self._watch(), name="keeper of time limits")

    def began(self, record: VmRecord) -> None:
        """A machine has begun to run, or was found to."""
        self.activity.touch(record.id)
        if record.deadline is not None or self._stale_after:
            self.wake()

    def wake(self) -> None:
        """A limit was set or moved."""
        self._changed.set()

    async def close(self) -> None:
        """End nothing from now on."""
        tasks = [*self._ending.values(), *([self._keeper] if self._keeper else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            self._changed.clear()
            wait = self._look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):  # wait_for may lose a cancellation that comes with the event
                    await self._changed.wait()

    def _look(self) -> float | None:
        """End what is due; how long there is nothing to do, None for as long as nothing changes."""
        running = [each for each in self._machines.all() if each.state == "running" and not each.worker_of]
        self.activity.keep({each.id for each in running})
        waits = []
        for record in running:
            left, reason = self._left(record)
            if left is None or record.id in self._ending:
                continue
            if left <= 0:
                task = asyncio.create_task(self._finish(record.id, reason), name=f"end {record.id}")
                self._ending[record.id] = task
            else:
                waits.append(left)
        return min(LONGEST_SLEEP, max(SHORTEST_SLEEP, min(waits))) if waits else None

    def _left(self, record: VmRecord) -> tuple[float | None, str]:
        """How long a machine may go on, and what ends it then."""
        limits: list[tuple[float, str]] = []
        if record.deadline is not None:
            limits.append((record.deadline.left(self._clock), EXPIRED))
        if self._stale_after and not record.ephemeral:
            limits.append((self._stale_after - self.activity.idle(record.id), UNUSED))
        return min(limits, default=(None, ""))

    def _due(self, vm_id: str, reason: str) -> bool:
        record = self._machines.get(vm_id)
        if record is None or record.state != "running":
            return False
        left, because = self._left(record)
        return left is not None and left <= 0 and because == reason

    async def _finish(self, vm_id: str, reason: str) -> None:
        """End a machine; where that fails it is left alone for a while."""
        try:
            record = self._machines.get(vm_id)
            if reason == UNUSED and record is not None and await self._occupied(record):
                self.activity.touch(vm_id)
                return
            log.info("machine %s: %s", vm_id, reason)
            await self._end(vm_id, reason, lambda: self._due(vm_id, reason))
        except errors.BangerError as failed:
            log.warning("machine %s could not be ended: %s", vm_id, failed.message)
            await asyncio.sleep(RETRY)
        finally:
            self._ending.pop(vm_id, None)
            self.wake()
