"""The Firecracker driver: one jailed process a machine, made and ended by the root helper, spoken to over its API.

Order of a launch: the kernel and the read-only drives go into the helper's store; the helper makes the jail and starts
the monitor in it; over the API the machine is described and started. Whatever fails on the way takes the jail with it.

The monitor is another user's process: it is watched by pidfd, which anybody may, and signalled by the helper. On disk,
in the machine's directory: ``console.log``, the guest's console and Firecracker's own lines, and ``metrics.json``, what
it counted last (`metrics`). The sockets are in the jail, and the helper connects us to them. In memory alone: the
sockets that listen for guests which have just been started (`doorbell`).
"""

import asyncio
import contextlib
import errno
import os
import socket

from msgspec.structs import replace

from banger import errors, proc
from banger.privileged.runner import Privileged
from banger.vmm import console, process
from banger.vmm.driver import Availability, Exit, Features, Handle, LaunchSpec
from banger.vmm.firecracker import configuration, ending, metrics, vsock
from banger.vmm.firecracker.api import ApiError, Client
from banger.vmm.firecracker.doorbell import Doorbells
from banger.vmm.firecracker.jail import Jail
from banger.vmm.firecracker.probe import probe
from banger.vmm.firecracker.resources import Request, VmState

FEATURES = Features(accelerated=True, user_networking=False, vsock=True, snapshot=False, jail=True)

_END_SECONDS = 30
_DYING_SECONDS = 0.2
"""How long after its last connection a process that was killed may be there."""
_LOOK_SECONDS = 0.3
"""How often the console is looked at for the end of a machine whose process goes on."""

_CONTAIN_SECONDS = 5.0
"""How long after its guest's first answer a machine is contained: where many start, the others' come first."""

_COUNTS_SECONDS = 60.0
"""How long after that its monitor's metrics are taken for the first time: by then there are some."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5
_FIRST_LIMIT, _LONGEST_LIMIT = 0.3, 5.0
"""How long an attempt to reach the guest may take. One made too early is answered late, by Firecracker's own limit."""


class FirecrackerDriver:
    """Keeps `banger.vmm.driver.Driver`. ``cache`` is the directory for the probe's answer."""

    name = "firecracker"

    def __init__(self, privileged: Privileged, cache: str) -> None:
        self._privileged = privileged
        self._cache = cache
        self._jail = Jail(privileged)
        self._doorbells = Doorbells()
        self._metrics = metrics.Metrics()
        self._contained: set[str] = set()
        self._containing: set[asyncio.Task[None]] = set()
        self._probing = asyncio.Lock()

    async def availability(self) -> Availability:
        async with self._probing:
            found = await probe(self._privileged, self._cache, self._boots)
        return Availability(
            usable=found.usable, reason=found.reason, features=FEATURES, mend=found.mend, warnings=found.warnings
        )

    async def _boots(self, spec: LaunchSpec, patience: float) -> str | None:
        """Run a machine that ends by itself; None when it said so, else why it did not."""
        try:
            handle = await self.launch(spec)
        except errors.BangerError as failed:
            return failed.message
        try:
            end = await self.wait(handle, patience)
        finally:
            await asyncio.shield(self.kill(handle))
        if end is None:
            return "the guest hangs"
        return None if end.reason == "powered off" else f"{end.reason}: {end.detail}"

    async def launch(self, spec: LaunchSpec) -> Handle:
        configuration.check(spec)
        _check(spec)
        handle = Handle(
            driver=self.name,
            pid=0,
            start_ticks=0,
            console=os.path.join(spec.directory, "console.log"),
            machine="microvm (kvm)",
            details={"vm": spec.vm_id},
        )
        try:
            output = console.create(handle.console)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise errors.DiskFull(path=spec.directory) from None
            raise errors.VmmFailed(reason=f"{handle.console}: {error.strerror}", name=spec.vm_id) from None
        try:
            launched = await self._jail.launch(spec, output)
        except asyncio.CancelledError:
            await asyncio.shield(self._jail.sweep(spec.vm_id))
            raise
        finally:
            os.close(output)
        self._doorbells.put_up(spec.vm_id, launched.doorbell)
        handle = replace(handle, pid=launched.pid, start_ticks=launched.start_ticks)
        *described, start = configuration.requests(spec)
        try:
            async with Client(launched.api) as api:
                await api.send(*described)
                await api.send(start)
        except ApiError as error:
            raise await asyncio.shield(self._failed(handle, str(error))) from None
        except BaseException:
            await asyncio.shield(self.kill(handle))
            raise
        return handle

    async def _failed(self, handle: Handle, reason: str) -> errors.VmmFailed:
        """What a start has come to that went no further; the jail is gone then."""
        if await proc.wait_gone(process.identity(handle), _DYING_SECONDS):
            reason = f"the monitor has ended in the middle of its start ({reason})"
        await self.kill(handle)
        return errors.VmmFailed(reason=reason, name=handle.details["vm"])

    def alive(self, handle: Handle) -> bool:
        return proc.alive(process.identity(handle))

    async def kill(self, handle: Handle) -> None:
        vm_id = handle.details["vm"]
        self._doorbells.take_down(vm_id)
        self._contained.discard(vm_id)
        self._metrics.forget(vm_id)
        await self._jail.sweep(vm_id)
        if not await proc.wait_gone(process.identity(handle), _END_SECONDS):
            raise errors.VmmFailed(reason=f"process {handle.pid} does not end", name=process.machine_name(handle))

    async def wait(self, handle: Handle, timeout: float | None = None) -> Exit | None:
        gone = asyncio.ensure_future(proc.wait_gone(process.identity(handle), timeout))
        seen = None
        try:
            while not (await asyncio.wait({gone}, timeout=_LOOK_SECONDS))[0]:
                before, seen = seen, ending.written(handle.console)
                if seen != before and ending.over(handle.console):
                    await self._jail.kill(handle.details["vm"], handle.pid, handle.start_ticks)
            if not gone.result():
                return None
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
        return ending.classify(handle.console, await self._jail.killed_for_memory(handle.details["vm"]))

    async def connect_agent(self, handle: Handle) -> socket.socket:
        vm_id, monitor = handle.details["vm"], process.identity(handle)
        connected = await self._doorbells.rung(vm_id, monitor, self._doorbells.patience(vm_id))
        pause, limit = _FIRST_PAUSE, _FIRST_LIMIT
        while connected is None and self.alive(handle):
            connected = await self._call(vm_id, limit) or await self._doorbells.rung(vm_id, monitor, pause)
            pause, limit = min(pause * 1.5, _LONGEST_PAUSE), min(limit * 1.5, _LONGEST_LIMIT)
        if connected is None:
            raise errors.AgentLost(reason="the machine has ended")
        self._contain(vm_id, os.path.join(os.path.dirname(handle.console), metrics.NAME))
        return connected

    def _contain(self, vm_id: str, counts: str) -> None:
        """Once for each machine, and behind its guest's first answer: that is what somebody waits for."""
        if vm_id not in self._contained:
            self._contained.add(vm_id)
            task = asyncio.create_task(self._contain_soon(vm_id, counts))
            self._containing.add(task)
            task.add_done_callback(self._containing.discard)

    async def _contain_soon(self, vm_id: str, counts: str) -> None:
        await asyncio.sleep(_CONTAIN_SECONDS)
        if vm_id in self._contained:  # it has not been ended meanwhile
            await self._jail.contain(vm_id)
            await asyncio.sleep(_COUNTS_SECONDS)
        if vm_id in self._contained and (pipe := await self._jail.metrics(vm_id)) is not None:
            if vm_id in self._contained:
                self._metrics.keep(vm_id, pipe, counts)
            else:
                os.close(pipe)

    async def _call(self, vm_id: str, limit: float) -> socket.socket | None:
        """A connection that we make; None when the guest does not let us in so far."""
        with contextlib.suppress(errors.VmmFailed, vsock.Refused, TimeoutError):
            connected = await self._jail.connect(vm_id, "vsock")
            try:
                async with asyncio.timeout(limit):
                    await vsock.shake_hands(connected)
            except BaseException:
                connected.close()
                raise
            self._doorbells.take_down(vm_id)
            return connected
        return None

    async def pause(self, handle: Handle) -> None:
        await self._change(handle, VmState(state="Paused"))

    async def resume(self, handle: Handle) -> None:
        await self._change(handle, VmState(state="Resumed"))

    async def _change(self, handle: Handle, request: Request) -> None:
        try:
            async with Client(await self._jail.connect(handle.details["vm"], "api")) as api:
                await api.send(request)
        except ApiError as error:
            raise errors.VmmFailed(reason=str(error), name=process.machine_name(handle)) from None

    async def stalled(self, handle: Handle) -> str | None:
        return None  # a write that the host cannot do is the guest's error, not a stop

    def trim_console(self, handle: Handle, limit: int) -> None:
        console.trim(handle.console, limit)


def _check(spec: LaunchSpec) -> None:
    """What the helper would say later, and less clearly. Devices are its own business: we may not even see /dev."""
    files = [drive.path for drive in spec.drives if not configuration.is_device(drive)]
    for path in (spec.kernel, spec.initrd, *files):
        if not os.path.exists(path):
            raise errors.VmmFailed(reason=f"there is no file {path}", name=spec.vm_id)
