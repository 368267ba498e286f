"""The first connection to a guest's agent, which the guest makes: nobody has to guess when it is ready.

What a guest connects to the host's context id, Firecracker connects to the unix socket named after its own with the
port behind it, if somebody listens there. The helper makes that socket with the jail, and the agent connects once, as
soon as it serves. One connection is taken, by whichever way it comes first; then the socket is closed, so that nothing
else in the guest ever gets through it, and what follows is `vsock`'s business.

It is all in memory: a daemon that was restarted meanwhile has none, and connects. A guest that connects and does not
speak the agent's protocol is told apart where every connection is, by `banger.guest.channel`.
"""

import asyncio
import contextlib
import socket

from banger import proc

PATIENCE = 60.0
"""Seconds that a guest may take before it is asked as well, which costs the helper a request each time."""


class Doorbells:
    """The sockets that listen for guests which were started and have not been heard of."""

    def __init__(self) -> None:
        self._listening: dict[str, socket.socket] = {}

    def put_up(self, vm_id: str, descriptor: int) -> None:
        """Keep a listening socket; from here on it is ours."""
        self.take_down(vm_id)
        self._listening[vm_id] = listening = socket.socket(fileno=descriptor)
        listening.setblocking(False)

    def take_down(self, vm_id: str) -> None:
        """Close a machine's, if there is one."""
        if (listening := self._listening.pop(vm_id, None)) is not None:
            listening.close()

    def patience(self, vm_id: str) -> float:
        """How long to wait for a machine before anything else is tried."""
        return PATIENCE if vm_id in self._listening else 0

    async def rung(self, vm_id: str, monitor: proc.Identity, seconds: float) -> socket.socket | None:
        """The guest's connection, non-blocking; None when the time is over or the monitor has ended."""
        if (listening := self._listening.get(vm_id)) is None:
            await proc.wait_gone(monitor, seconds)
            return None
        with listening.dup() as ours:  # it may be taken down meanwhile
            ours.setblocking(False)
            await _readable(ours, monitor, seconds)
            with contextlib.suppress(BlockingIOError):
                connected, _ = ours.accept()
                connected.setblocking(False)
                self.take_down(vm_id)
                return connected
        return None


async def _readable(listening: socket.socket, monitor: proc.Identity, seconds: float) -> None:
    """Wait until somebody has connected, the monitor has ended, or the time is over."""
    loop = asyncio.get_running_loop()
    connected = asyncio.Event()
    loop.add_reader(listening, connected.set)
    waiting = {asyncio.ensure_future(connected.wait()), asyncio.ensure_future(proc.wait_gone(monitor, seconds))}
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        loop.remove_reader(listening)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
