"""Notices at once that a machine's process has ended, and keeps consoles from growing without end.

One task waits for each running machine. A machine that ends in the middle of a change is that change's business: the
watcher lets it finish, then looks whether the end is on record already.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from banger import errors
from banger.vmm.driver import Driver, Exit, Handle

log = logging.getLogger("banger.vms.watch")

TRIM_INTERVAL = 5.0


class Watch:
    """``ended`` is called for each machine whose process has ended, with the handle that it had."""

    def __init__(
        self, driver: Driver, console_limit: int, ended: Callable[[str, Handle, Exit], Awaitable[None]]
    ) -> None:
        self._driver = driver
        self._console_limit = console_limit
        self._ended = ended
        self._watched: dict[str, tuple[Handle, asyncio.Task[None]]] = {}
        self._trimmer: asyncio.Task[None] | None = None

    def begin(self, vm_id: str, handle: Handle) -> None:
        """Watch a machine from now on."""
        self.end(vm_id)
        task = asyncio.create_task(self._follow(vm_id, handle), name=f"watch {vm_id}")
        self._watched[vm_id] = (handle, task)
        if self._trimmer is None:
            self._trimmer = asyncio.create_task(self._trim(), name="console trimmer")

    def end(self, vm_id: str) -> None:
        """Watch it no more."""
        watched = self._watched.pop(vm_id, None)
        if watched is not None and watched[1] is not asyncio.current_task():
            watched[1].cancel()

    async def close(self) -> None:
        """Watch nothing any more; the machines go on."""
        tasks = [task for _, task in self._watched.values()]
        self._watched.clear()
        if self._trimmer is not None:
            tasks.append(self._trimmer)
            self._trimmer = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, vm_id: str, handle: Handle) -> None:
        try:
            end = await self._driver.wait(handle) or Exit(reason="failed")
            await self._ended(vm_id, handle, end)
        except errors.Interrupted:
            log.info("machine %s ended; the next daemon puts that on record", vm_id)
        except errors.BangerError:
            log.exception("cannot tell how machine %s ended", vm_id)
        finally:
            watched = self._watched.get(vm_id)
            if watched is not None and watched[0] == handle:
                del self._watched[vm_id]

    async def _trim(self) -> None:
        while self._watched:
            await asyncio.sleep(TRIM_INTERVAL)
            for handle, _ in list(self._watched.values()):
                with contextlib.suppress(OSError):
                    self._driver.trim_console(handle, self._console_limit)
        self._trimmer = None
