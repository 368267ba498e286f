"""Tasks that start a machine: its initrd, its monitor, and the wait for its agent.

All are undone on failure, so that no process is left; what remains of a machine that had started before is what it
was. A guest that was launched and did not answer makes its machine's state ``error``.
"""

import asyncio
import contextlib
import os
import time

from banger import errors
from banger.disk.fresh import replacing
from banger.engine.change import Report
from banger.guest import assets
from banger.guest.channel import Channel
from banger.log import printable
from banger.ssh import host_keys
from banger.vmm.driver import Exit
from banger.vms import boot, files, given, handles, workdisks
from banger.vms.deadline import Deadline
from banger.vms.ending import switch_off, trim_console
from banger.vms.parts import Made, Parts, Step
from banger.vms.record import VmRecord
from banger.vms.watch import INTERVAL

CONSOLE_LINES = 8
"""How much of the console is shown when a guest did not come up."""


class MakeInitrd(Step):
    """The kernel's initrd with the machine's own archive behind it; made for every start, with the agent of today."""

    name = "initrd"

    def __init__(self, parts: Parts, vm_id: str) -> None:
        super().__init__(parts, vm_id)
        self.path = os.path.join(parts.paths.vm(vm_id), boot.INITRD)
        self.resource = Made("file", self.path)

    async def do(self, report: Report) -> None:
        parts = self.parts
        report.stage("making the initrd")
        record = parts.need(self.vm_id)
        image = parts.images.get(record.image_id)
        today = assets.load(parts.images.agent)
        ssh = await self._ssh() if files.wants_host_key(record) else None
        owners = await self._owners(record, report)
        archive = await files.archive_of_start(record, image, parts.images.rootfs(image), today, ssh, owners)
        shared = await parts.kernels.initrd(record.kernel)
        try:
            await asyncio.to_thread(_join, self.path, shared, archive)
            uid = parts.uid(record)
            if uid is not None:
                os.chown(self.path, -1, uid)
                os.chmod(self.path, 0o640)
        except OSError as error:
            raise errors.from_os(error, self.path) from error
        brought = {}
        if (record.assets or image.assets) != today.digest:
            brought["assets"] = today.digest
        if ssh is not None and ssh.host_key is not None:
            brought["host_key"] = ssh.host_key.public
        if owners is not None and record.given != owners.digest:
            brought["given"] = owners.digest
        if brought:
            report.record(assets=record.assets, host_key=record.host_key, given=record.given)
            parts.machines.change(self.vm_id, **brought)

    async def _ssh(self) -> files.Ssh:
        host_key = await host_keys.make(self.parts.paths.staging)
        allowed = await self.parts.images.seeds.key()
        return files.Ssh(host_key, allowed.public if allowed is not None else "")

    async def _owners(self, record: VmRecord, report: Report) -> given.Given | None:
        """What of its owner's host a machine of somebody's own is given."""
        if record.worker_of or not record.work_disk_size:
            return None
        found = await given.gather(self.parts.settings, self.parts.paths)
        for each in found.notices:
            report.notice(each)
        return found

    async def undo(self, report: Report) -> None:
        """What the root carries is in doubt: the next start brings it again."""
        if self.recorded:
            self.parts.machines.change(self.vm_id, **self.recorded)


def _join(path: str, shared: str, own: bytes) -> None:
    with replacing(path) as beside, open(shared, "rb") as source, open(beside, "xb") as target:
        os.fchmod(target.fileno(), 0o600)
        while chunk := source.read(1 << 20):
            target.write(chunk)
        target.write(own)


class Launch(Step):
    """The monitor's process."""

    name = "monitor"

    def __init__(self, parts: Parts, vm_id: str) -> None:
        super().__init__(parts, vm_id)
        self.resource = Made("process", parts.paths.vm_runtime(vm_id))

    async def do(self, report: Report) -> None:
        parts = self.parts
        report.stage("starting the machine")
        record = parts.need(self.vm_id)
        workdisks.check(parts, record, report)
        spec = boot.launch_spec(
            record,
            parts.images.usable(record.image_id),
            parts.kernels.get(record.kernel),
            parts.paths,
            parts.uid(record),
            boot.limits(parts.settings),
        )
        try:
            os.makedirs(spec.runtime, mode=0o700, exist_ok=True)
            handle = await parts.drivers.of(record).launch(spec)
        except OSError as error:
            raise errors.from_os(error, spec.runtime) from error
        except errors.VmmFailed as failed:
            raise errors.VmmFailed(reason=failed.data.get("reason", ""), name=record.name) from failed
        launched = parts.machines.change(self.vm_id, handle=handle, stop_reason=None, error=None)
        await handles.kept(parts.paths, launched)

    async def undo(self, report: Report) -> None:
        await switch_off(self.parts, self.vm_id)
        record = self.parts.machines.get(self.vm_id)
        if record is not None and record.state == "running":
            self.parts.machines.change(self.vm_id, state="stopped", stopped=time.time())


class AwaitAgent(Step):
    """The agent's first answer, the clock, and the state ``running``."""

    name = "agent"

    async def do(self, report: Report) -> None:
        parts = self.parts
        report.stage("waiting for the guest")
        record = parts.need(self.vm_id)
        try:
            channel = await self._first_answer(record)
            with contextlib.suppress(errors.GuestRefused):  # a guest with a wrong clock is better than none
                await channel.set_clock()
        except (errors.GuestSilent, errors.GuestPanicked, errors.VmmFailed, errors.ProtocolViolation) as failed:
            for line in console_tail(parts.paths.vm(record.id)):
                report.notice(f"console: {line}")
            if record.ephemeral:
                failed.advise("the console's last lines are above; a machine that is not ephemeral is kept to look at")
            else:
                parts.machines.change(self.vm_id, state="error", error=failed.message)
                failed.advise(
                    f"'banger vm logs {record.name}' shows the console, 'banger vm delete {record.name}' ends it"
                )
            raise
        ttl = parts.need(self.vm_id).ttl
        changed = parts.machines.change(
            self.vm_id,
            state="running",
            started=time.time(),
            deadline=None if ttl is None else Deadline.after(ttl),
            stopped=None,
            stop_reason=None,
            error=None,
        )
        assert changed is not None and changed.handle is not None
        parts.watch.begin(changed.id, changed.handle)
        parts.ready(changed)

    async def undo(self, report: Report) -> None:
        self.parts.watch.end(self.vm_id)

    async def _first_answer(self, record: VmRecord) -> Channel:
        """Attach, or tell how the machine ended instead."""
        assert record.handle is not None
        timeout = self.parts.settings.boot_timeout
        attached = asyncio.create_task(self.parts.connections.get(record, timeout))
        ended = asyncio.create_task(self.parts.drivers.of(record).wait(record.handle))
        try:
            either = {attached, ended}
            while not (await asyncio.wait(either, timeout=INTERVAL, return_when=asyncio.FIRST_COMPLETED))[0]:
                await self._look_after(record)
            try:
                if attached.done():
                    return attached.result()
            except errors.AgentLost:  # its socket went away: the process is about to end, and will tell why
                await asyncio.wait({ended}, timeout=5)
            if ended.done() and (end := ended.result()) is not None:
                raise _never_came(record, end)
            raise errors.VmmFailed(name=record.name, reason="it closed the agent's port")
        finally:
            for task in (attached, ended):
                task.cancel()
            await asyncio.gather(attached, ended, return_exceptions=True)

    async def _look_after(self, record: VmRecord) -> None:
        """What `Watch` does once the machine runs. A guest that the disk has stopped will never answer."""
        assert record.handle is not None
        trim_console(self.parts, record.handle)
        if await self.parts.drivers.of(record).stalled(record.handle) is not None:
            raise errors.DiskFull(path=self.parts.paths.vm(record.id))


def _never_came(record: VmRecord, end: Exit) -> errors.BangerError:
    detail = printable(end.detail)
    if end.reason == "panic":
        return errors.GuestPanicked(name=record.name, reason=detail or "no message")
    reason = f"the machine ended before its agent answered ({end.reason}{': ' if detail else ''}{detail})"
    return errors.VmmFailed(name=record.name, reason=reason)


def console_tail(directory: str, lines: int = CONSOLE_LINES) -> list[str]:
    """The console's last lines, made printable: the guest wrote them."""
    try:
        with open(os.path.join(directory, boot.CONSOLE), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
            text = file.read()
    except OSError:
        return []
    shown = [printable(each.strip(), 200) for each in text.splitlines()]
    return [each for each in shown if each][-lines:]
