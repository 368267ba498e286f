"""One attachment to the agent of each running machine, shared by all who talk to it.

Attached when first needed and again after a loss. An attachment belongs to one process: a machine that was started
anew is another peer, and the old attachment is dropped with the old process (`drop`).
"""

import asyncio
import contextlib
from functools import partial

from banger import errors
from banger.guest.channel import Channel
from banger.vmm.driver import Handle
from banger.vmm.drivers import Drivers
from banger.vms.record import VmRecord

ATTACH_TIMEOUT = 20.0
"""How long a running machine's agent may take to answer; under emulation a busy guest takes seconds."""


class Connections:
    """The attachments of one daemon."""

    def __init__(self, drivers: Drivers) -> None:
        self._drivers = drivers
        self._channels: dict[str, tuple[Handle, Channel]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, record: VmRecord, timeout: float = ATTACH_TIMEOUT) -> Channel:
        """The attachment to a machine's agent. Raises `errors.WrongState`, `errors.GuestSilent`, `errors.AgentLost`."""
        handle = record.handle
        if handle is None:
            raise errors.WrongState(name=record.name, state=record.state, needed="running")
        # one lock a machine: a second attachment would end the streams of the first
        async with self._locks.setdefault(record.id, asyncio.Lock()):
            known = self._channels.get(record.id)
            if known is not None:
                if known[0] == handle and not known[1].closed:
                    return known[1]
                await self._close(record.id)
            try:
                channel = await Channel.attach(partial(self._drivers.of(handle).connect_agent, handle), timeout=timeout)
            except errors.GuestSilent:
                raise errors.GuestSilent(seconds=f"{timeout:g}", name=record.name) from None
            self._channels[record.id] = (handle, channel)
            return channel

    async def drop(self, vm_id: str) -> None:
        """Let go of a machine that has ended, or is about to."""
        await self._close(vm_id)
        self._locks.pop(vm_id, None)

    async def close(self) -> None:
        """Let go of all machines; they go on."""
        for vm_id in list(self._channels):
            await self.drop(vm_id)

    async def _close(self, vm_id: str) -> None:
        known = self._channels.pop(vm_id, None)
        if known is not None:
            with contextlib.suppress(errors.BangerError):
                await known[1].close()
