"""Notices at once that a machine's process has ended, and looks after those that run.

Every few seconds consoles are cut to their limit, and a machine that the host's full disk has stopped is told of and
set going again; it stops anew while there is no space.

One task waits for each running machine. A machine that ends in the middle of a change is that change's business: the
watcher lets it finish, then looks whether the end is on record already.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from banger import errors
from banger.vmm.driver import Exit, Handle
from banger.vmm.drivers import Drivers

log = logging.getLogger("banger.vms.watch")

INTERVAL = 5.0
"""How often running machines are looked after."""


class Watch:
    """``ended`` is called for each machine whose process has ended, with the handle that it had.

    ``stalled`` is called again and again, with the reason while the host has stopped a machine, otherwise with None.
    """

    def __init__(
        self,
        drivers: Drivers,
        console_limit: int,
        ended: Callable[[str, Handle, Exit], Awaitable[None]],
        stalled: Callable[[str, Handle, str | None], None],
    ) -> None:
        self._drivers = drivers
        self._console_limit = console_limit
        self._ended = ended
        self._tell_stalled = stalled
        self._watched: dict[str, tuple[Handle, asyncio.Task[None]]] = {}
        self._keeper: asyncio.Task[None] | None = None

    def begin(self, vm_id: str, handle: Handle) -> None:
        """Watch a machine from now on."""
        self.end(vm_id)
        task = asyncio.create_task(self._follow(vm_id, handle), name=f"watch {vm_id}")
        self._watched[vm_id] = (handle, task)
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._look_after(), name="keeper of machines")

    def end(self, vm_id: str) -> None:
        """Watch it no more."""
        watched = self._watched.pop(vm_id, None)
        if watched is not None and watched[1] is not asyncio.current_task():
            watched[1].cancel()

    async def close(self) -> None:
        """Watch nothing any more; the machines go on."""
        tasks = [task for _, task in self._watched.values()]
        self._watched.clear()
        if self._keeper is not None:
            tasks.append(self._keeper)
            self._keeper = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, vm_id: str, handle: Handle) -> None:
        try:
            end = await self._drivers.of(handle).wait(handle) or Exit(reason="failed")
            while not await self._put_on_record(vm_id, handle, end):  # noqa: ASYNC110 - a disk tells nobody of its room
                await asyncio.sleep(INTERVAL)
        except errors.Interrupted:
            log.info("machine %s ended; the next daemon puts that on record", vm_id)
        except errors.BangerError:
            log.exception("cannot tell how machine %s ended", vm_id)
        finally:
            watched = self._watched.get(vm_id)
            if watched is not None and watched[0] == handle:
                del self._watched[vm_id]

    async def _put_on_record(self, vm_id: str, handle: Handle, end: Exit) -> bool:
        """Tell of the end of a machine; False when the record cannot be written, because the disk is full."""
        try:
            await self._ended(vm_id, handle, end)
        except errors.DiskFull as full:
            log.warning("machine %s ended, which cannot be put on record yet: %s", vm_id, full.message)
            return False
        return True

    async def _look_after(self) -> None:
        while self._watched:
            await asyncio.sleep(INTERVAL)
            for vm_id, (handle, _) in list(self._watched.items()):
                with contextlib.suppress(OSError):
                    self._drivers.of(handle).trim_console(handle, self._console_limit)
                with contextlib.suppress(errors.BangerError, OSError):  # it has ended in between
                    await self._look_at(vm_id, handle)
        self._keeper = None

    async def _look_at(self, vm_id: str, handle: Handle) -> None:
        reason = await self._drivers.of(handle).stalled(handle)
        self._tell_stalled(vm_id, handle, reason)
        if reason is not None:
            await self._drivers.of(handle).resume(handle)
