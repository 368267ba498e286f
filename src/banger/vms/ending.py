"""Tasks that end a machine: power-off in order, the switch, and removal. Each can be done twice; none is undone."""

import asyncio
import contextlib
import os
import shutil
import signal
import time

from banger import errors, proc
from banger.engine.change import Report
from banger.log import printable
from banger.privileged.operations import Sweep
from banger.vmm.driver import Exit, Handle
from banger.vms import attaching, handles, strays
from banger.vms.parts import Made, Parts, Step
from banger.vms.record import VmRecord

STRAY_TIMEOUT = 10.0
"""How long a process that was sent SIGKILL may take to be gone."""


class Already(Step):
    """Nothing, and the reason."""

    name = "already"

    def __init__(self, parts: Parts, vm_id: str, why: str) -> None:
        super().__init__(parts, vm_id)
        self.why = why

    async def do(self, report: Report) -> None:
        report.notice(self.why)


class PowerOff(Step):
    """The guest writes out what it has and shuts down in its own order, for at most ``timeout`` seconds."""

    name = "power-off"

    def __init__(self, parts: Parts, vm_id: str, timeout: float) -> None:
        super().__init__(parts, vm_id)
        self.timeout = timeout

    async def do(self, report: Report) -> None:
        parts = self.parts
        record = parts.need(self.vm_id)
        hurry = parts.hurry.setdefault(report.operation, asyncio.Event())
        if record.handle is None or not parts.drivers.of(record).alive(record.handle):
            del parts.hurry[report.operation]
            return
        report.stage("waiting for the guest to power off")
        orderly = asyncio.create_task(self._ask(record))
        hurried = asyncio.create_task(hurry.wait())
        try:
            await asyncio.wait({orderly, hurried}, timeout=self.timeout, return_when=asyncio.FIRST_COMPLETED)
            if orderly.done():
                orderly.result()
            elif not hurry.is_set():
                report.notice(f"the guest did not power off within {self.timeout:g} s and was switched off")
        except errors.BangerError as failed:
            report.notice(f"the guest could not be asked to power off ({failed.message}) and was switched off")
        finally:
            for task in (orderly, hurried):
                task.cancel()
            await asyncio.gather(orderly, hurried, return_exceptions=True)
            parts.hurry.pop(report.operation, None)

    async def _ask(self, record: VmRecord) -> None:
        """First everything is written out, so that a guest that never finishes to power off has lost nothing."""
        assert record.handle is not None
        channel = await self.parts.connections.get(record, self.timeout)
        await channel.sync()
        with contextlib.suppress(errors.AgentLost):  # it may be gone before it has answered
            await channel.poweroff()
        await self.parts.drivers.of(record).wait(record.handle)


class SwitchOff(Step):
    """The process ended, its sockets removed, its end on record."""

    name = "switch-off"

    def __init__(self, parts: Parts, vm_id: str, because: str = "") -> None:
        super().__init__(parts, vm_id)
        self.because = because

    async def do(self, report: Report) -> None:
        report.stage("switching the machine off")
        parts = self.parts
        record = parts.machines.get(self.vm_id)  # without one, what is left of it is ended all the same
        end = await switch_off(parts, self.vm_id)
        if end is not None:
            settle(parts, self.vm_id, end, self.because)
        elif record is not None and record.state == "running":
            settle(parts, self.vm_id, Exit(reason="failed", detail="its process is not on record"))


class RemoveFiles(Step):
    """Disk, console, initrd: all that was in the machine's directory."""

    name = "files"

    def __init__(self, parts: Parts, vm_id: str) -> None:
        super().__init__(parts, vm_id)
        self.resource = Made("directory", parts.paths.vm(vm_id))

    async def do(self, report: Report) -> None:
        report.stage("removing the disk")
        directory = self.parts.paths.vm(self.vm_id)
        await handles.settled(self.parts.paths, self.vm_id)
        if os.path.isdir(directory):
            await asyncio.to_thread(shutil.rmtree, directory)


class Forget(Step):
    """The row, last: until here everything could be found again."""

    name = "row"

    async def do(self, report: Report) -> None:
        self.parts.machines.forget(self.vm_id)


async def switch_off(parts: Parts, vm_id: str) -> Exit | None:
    """End a machine's process, if there is one, and take away what belonged to it. How it ended, or None."""
    record = parts.machines.get(vm_id)
    handle = record.handle if record is not None else None
    end: Exit | None = None
    if handle is not None:
        driver = parts.drivers.of(handle)
        was_alive = driver.alive(handle)
        await driver.kill(handle)
        end = Exit(reason="killed") if was_alive else await driver.wait(handle, 5) or Exit(reason="failed")
        trim_console(parts, handle)
        ended = parts.machines.change(vm_id, handle=None)
        # a full disk keeps no machine on: a process that is gone is not believed in
        with contextlib.suppress(errors.BangerError):
            await handles.kept(parts.paths, ended)
    elif record is not None and record.jailed:
        await parts.root.perform(Sweep(vm_id=vm_id))
    else:
        for stray in await asyncio.to_thread(strays.find, parts.paths, vm_id):
            proc.send_signal(stray, signal.SIGKILL)
            await proc.wait_gone(stray, STRAY_TIMEOUT)
    await parts.forwards.release(vm_id)
    await parts.connections.drop(vm_id)
    if record is not None and record.jailed:
        await attaching.detach(parts, record)
    await asyncio.to_thread(shutil.rmtree, parts.paths.vm_runtime(vm_id), ignore_errors=True)
    return end


def trim_console(parts: Parts, handle: Handle) -> None:
    """Hold a console to its limit: `Watch` does so while a machine runs, this before and after."""
    with contextlib.suppress(OSError):
        parts.drivers.of(handle).trim_console(handle, parts.settings.console_limit)


def settle(parts: Parts, vm_id: str, end: Exit, because: str = "") -> VmRecord | None:
    """Put on record that a machine has ended, how, and what for. One that never answered stays in ``error``."""
    record = parts.machines.get(vm_id)
    if record is None:
        return None
    detail = printable(end.detail)
    reason = ": ".join(each for each in (because, end.reason, detail) if each)
    changes = {} if record.state == "error" else {"state": "stopped", "error": None}
    return parts.machines.change(vm_id, handle=None, deadline=None, stopped=time.time(), stop_reason=reason, **changes)
