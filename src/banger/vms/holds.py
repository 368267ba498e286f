"""Who still wants an ephemeral machine.

Every attached command and every open hold counts one. A machine goes when its count falls to zero, or when nobody
came within `GRACE` after it was ready (or after the daemon found it again): a client that died in between must not
leave a machine behind.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator

GRACE = 10.0


class Holds:
    """Counts by machine id. ``expire`` is called once a machine is no longer wanted."""

    def __init__(self, expire: Callable[[str], None], grace: float = GRACE) -> None:
        self._expire = expire
        self._grace = grace
        self._counts: dict[str, int] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    @contextlib.contextmanager
    def hold(self, vm_id: str) -> Iterator[None]:
        """Want the machine for as long as the block lasts."""
        self._disarm(vm_id)
        self._counts[vm_id] = self._counts.get(vm_id, 0) + 1
        try:
            yield
        finally:
            self._release(vm_id)

    def await_first(self, vm_id: str) -> None:
        """Give somebody `GRACE` seconds to want the machine."""
        self._disarm(vm_id)
        if not self._counts.get(vm_id):
            self._timers[vm_id] = asyncio.get_running_loop().call_later(self._grace, self._out_of_time, vm_id)

    def forget(self, vm_id: str) -> None:
        """The machine is gone."""
        self._disarm(vm_id)
        self._counts.pop(vm_id, None)

    def close(self) -> None:
        """Expire nothing from now on."""
        for vm_id in list(self._timers):
            self._disarm(vm_id)
        self._expire = lambda vm_id: None

    def _release(self, vm_id: str) -> None:
        count = self._counts.pop(vm_id, 0)
        if count > 1:
            self._counts[vm_id] = count - 1
        elif count == 1:
            self._expire(vm_id)

    def _out_of_time(self, vm_id: str) -> None:
        self._timers.pop(vm_id, None)
        self._expire(vm_id)

    def _disarm(self, vm_id: str) -> None:
        timer = self._timers.pop(vm_id, None)
        if timer is not None:
            timer.cancel()
