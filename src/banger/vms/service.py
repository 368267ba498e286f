"""Machines: everything that a client can ask of them.

Requests are checked here, before anything exists; what changes a machine becomes a change of the engine (`plans`).
What talks to a running machine goes through its one attachment (`connections`).
"""

import asyncio
import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Coroutine

import msgspec

from banger import errors
from banger.api.operation import Operation
from banger.api.vm import CreateVm, ExecVm, Health, StopVm, Vm
from banger.config.settings import Config
from banger.engine.engine import Engine
from banger.guest.channel import Channel
from banger.guest.command import GuestCommand
from banger.images.service import ImageService
from banger.kernels.service import KernelService
from banger.net.service import GuestNetwork
from banger.paths import Paths
from banger.privileged.runner import Privileged
from banger.store.records import Records
from banger.vmm.driver import Exit, Handle
from banger.vmm.drivers import Drivers
from banger.vms import attaching, commands, console, lost, plans, wanted
from banger.vms.connections import Connections
from banger.vms.ending import settle, switch_off
from banger.vms.holds import GRACE, Holds
from banger.vms.parts import Parts
from banger.vms.plans import Changed, Created
from banger.vms.record import Machines, VmRecord, view
from banger.vms.watch import Watch
from banger.vms.workers import Workers

log = logging.getLogger("banger.vms")

STOP_TIMEOUT_LIMIT = 3600.0

PROMISED = 256
"""How many of the names given last are not generated again, whether their machines are on record by now or not."""


class VmService:
    """The machines of one daemon. Call `recover` once, after the engine's, before anything else."""

    def __init__(
        self,
        *,
        engine: Engine,
        records: Records[VmRecord],
        images: ImageService,
        kernels: KernelService,
        drivers: Drivers,
        paths: Paths,
        settings: Config,
        privileged: Privileged | None = None,
        network: GuestNetwork | None = None,
        grace: float = GRACE,
    ) -> None:
        self._engine = engine
        self._machines = Machines(records)
        self._holds = Holds(self._unwanted, grace)
        self._promised: deque[str] = deque(maxlen=PROMISED)
        self._background: set[asyncio.Task[None]] = set()
        self._parts = Parts(
            machines=self._machines,
            images=images,
            kernels=kernels,
            drivers=drivers,
            connections=Connections(drivers),
            watch=Watch(drivers, settings.console_limit, self._ended, self._stalled),
            paths=paths,
            settings=settings,
            own_users=os.geteuid() == 0,
            privileged=privileged,
            network=network,
            ready=self._ready,
        )
        self.workers = Workers(self._parts, self._decide)
        images.guard(self._machines.users_of_image)
        kernels.guard(
            lambda name: [*self._machines.users_of_kernel(name), *(f"image {each}" for each in images.naming(name))]
        )
        for kind in plans.kinds(self._parts):
            engine.register(kind)

    # -- looking ------------------------------------------------------------------------------------------------------

    def list(self) -> list[Vm]:
        """Every machine, oldest first."""
        return [self._view(each) for each in self._machines.all()]

    def show(self, ref: str) -> Vm:
        """Raises `errors.NotFound`, `errors.Ambiguous`."""
        return self._view(self._machines.find(ref))

    def _view(self, record: VmRecord) -> Vm:
        under_way = self._under_way(record)
        return view(record, under_way.id if under_way else None)

    def _under_way(self, record: VmRecord) -> Operation | None:
        """The change that a machine is in the middle of: its own, or the one that it works for."""
        own = self._engine.under_way(record.id)
        return self._engine.under_way(record.worker_of) if own is None and record.worker_of else own

    # -- changing -----------------------------------------------------------------------------------------------------

    async def create(self, request: CreateVm) -> Operation:
        """Make a machine, and start it. Raises, before anything exists, whatever is wrong with the request."""
        record = await self._decide(request)
        return self._begin(plans.CREATE, record, Created(record, request.start))

    async def _decide(self, request: CreateVm) -> VmRecord:
        """What is asked for, checked against what there is."""
        parts = self._parts
        driver = await parts.drivers.choose()
        available = await driver.availability()
        if not available.usable:
            failed = errors.VmmFailed(reason=available.reason, name=request.name or "")
            failed.advise(available.mend or "'banger doctor' checks this host")
            raise failed
        record = wanted.decide(
            request,
            parts.settings,
            self._machines,
            self._promised,
            driver.name,
            available.features,
        )
        image = parts.images.expect(record.image)
        if image is not None:
            wanted.disk_size(record.disk_size, parts.settings.vm_defaults.disk_size, image.size)
        parts.kernels.expect(record.kernel or (image.kernel if image is not None else ""))
        self._promised.append(record.name)
        return record

    async def start(self, ref: str) -> Operation:
        """Raises `errors.WrongState` on a machine that runs."""
        record = self._machines.find(ref)
        self._check_idle(record)
        if record.state == "running":
            raise errors.WrongState(name=record.name, state=record.state, needed="stopped")
        return self._begin(plans.START, record, Changed(record.id, jailed=record.jailed))

    async def stop(self, ref: str, request: StopVm) -> Operation:
        """Power off in order, within the request's time; raises `errors.WrongState` on a machine that does not run."""
        record = self._running(ref)
        return self._begin(plans.STOP, record, Changed(record.id, _bounded(request.timeout)))

    async def restart(self, ref: str, request: StopVm) -> Operation:
        """Power off in order, then start; a machine that does not run is just started."""
        record = self._machines.find(ref)
        return self._begin(plans.RESTART, record, Changed(record.id, _bounded(request.timeout), record.jailed))

    async def kill(self, ref: str) -> Operation:
        """Switch off at once; an orderly stop that is under way becomes a quick one."""
        record = self._machines.find(ref)
        hurry = self._parts.hurry.get(record.id)
        under_way = self._engine.under_way(record.id)
        if hurry is not None and under_way is not None and under_way.kind == plans.STOP:
            hurry.set()
            return under_way
        record = self._running(ref)
        return self._begin(plans.KILL, record, Changed(record.id))

    async def delete(self, ref: str) -> Operation:
        """Switch off and remove, disk included; a deletion that is under way is joined."""
        record = self._machines.find(ref)
        under_way = self._engine.under_way(record.id)
        if under_way is not None and under_way.kind == plans.DELETE:
            return under_way
        return self._begin(plans.DELETE, record, Changed(record.id))

    def _begin(self, kind: str, record: VmRecord, spec: Created | Changed) -> Operation:
        if record.worker_of:
            self._check_idle(record)
        return self._engine.begin(kind, subject=record.name, subject_id=record.id, spec=msgspec.to_builtins(spec))

    def _check_idle(self, record: VmRecord) -> None:
        under_way = self._under_way(record)
        if under_way is not None:
            raise errors.Busy(kind="machine", name=record.name, change=under_way.kind)

    def _running(self, ref: str) -> VmRecord:
        record = self._machines.find(ref)
        if record.state != "running":
            self._check_idle(record)
            raise errors.WrongState(name=record.name, state=record.state, needed="running")
        return record

    # -- talking to the guest -----------------------------------------------------------------------------------------

    async def health(self, ref: str) -> Health:
        """What the agent says of its machine. Raises `errors.WrongState`, `errors.GuestSilent`, `errors.AgentLost`."""
        _, channel = await self._attached(ref)
        asked = time.time()
        told = await channel.health()
        now = (asked + time.time()) / 2  # the guest looked at its clock somewhere between the two
        return Health(
            agent_version=told.agent_version,
            protocol=told.protocol,
            init=told.pid1,
            boot_id=told.boot_id,
            hostname=told.hostname,
            uptime=told.uptime,
            clock_offset=told.clock - now,
        )

    def logs(self, ref: str, follow: bool = False) -> AsyncIterator[bytes]:
        """The console as it is; ``follow`` goes on until the machine ends. Raw bytes of the guest's."""
        record = self._machines.find(ref)
        path = console.path(self._parts.paths.vm(record.id))
        return console.read(path, (lambda: self._alive(record.id)) if follow else None)

    async def exec(self, ref: str, request: ExecVm) -> GuestCommand:
        """Start a command; an ephemeral machine is held until it has ended. Raises what `Channel.exec` raises."""
        record, channel = await self._own(ref)
        spec = commands.exec_spec(request, self._parts.images.config(record.image_id), record.env)
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._hold(record))
            command = await channel.exec(spec)
            self._spawn(self._hold_until_end(command, stack.pop_all()))
            return command

    async def exec_detached(self, ref: str, request: ExecVm) -> str:
        """Start a command that outlives its client; the id of its session."""
        record, channel = await self._own(ref)
        spec = commands.exec_spec(request, self._parts.images.config(record.image_id), record.env)
        return await channel.exec_detached(spec)

    async def put(self, ref: str, path: str, chunks: AsyncIterator[bytes]) -> None:
        """Unpack a tar stream below a directory of the guest. Raises `errors.GuestRefused`."""
        record, channel = await self._own(ref)
        with self._hold(record):
            await channel.put(path, chunks)

    async def get(self, ref: str, path: str) -> AsyncIterator[bytes]:
        """A tar stream of one path of the guest, which is hostile input to whoever unpacks it."""
        record, channel = await self._attached(ref)
        with self._hold(record):
            async with contextlib.aclosing(channel.get(path)) as pieces:  # type: ignore[type-var]
                async for data in pieces:
                    yield data

    async def _own(self, ref: str) -> tuple[VmRecord, Channel]:
        """As `_attached`, for what changes a machine. Raises `errors.Busy` on one that works for a change."""
        record = self._running(ref)
        if record.worker_of:
            self._check_idle(record)
        return await self._attached(ref)

    async def _attached(self, ref: str) -> tuple[VmRecord, Channel]:
        record = self._running(ref)
        try:
            return record, await self._parts.connections.get(record)
        except errors.AgentLost as lost:
            raise errors.AgentLost(reason=lost.data["reason"], name=record.name) from lost

    async def _hold_until_end(self, command: GuestCommand, stack: contextlib.ExitStack) -> None:
        with stack, contextlib.suppress(errors.BangerError):
            await command.wait()

    # -- ephemeral machines -------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def hold(self, ref: str) -> AsyncIterator[None]:
        """Keep an ephemeral machine for as long as the block lasts; for others it means nothing."""
        with self._hold(self._machines.find(ref)):
            yield

    def _hold(self, record: VmRecord) -> contextlib.AbstractContextManager[None]:
        return self._holds.hold(record.id) if record.ephemeral else contextlib.nullcontext()

    def _ready(self, record: VmRecord) -> None:
        if record.ephemeral and not record.worker_of:
            self._holds.await_first(record.id)

    def _unwanted(self, vm_id: str) -> None:
        self._spawn(self._remove_ephemeral(vm_id))

    async def _remove_ephemeral(self, vm_id: str) -> None:
        """Delete, once no other change is in the way."""
        await self._until_idle(vm_id)
        record = self._machines.get(vm_id)
        if record is not None and record.ephemeral:
            self._begin(plans.DELETE, record, Changed(vm_id))
            self._holds.forget(vm_id)

    # -- the end of machines ------------------------------------------------------------------------------------------

    def _alive(self, vm_id: str) -> bool:
        record = self._machines.get(vm_id)
        return record is not None and record.handle is not None and self._parts.drivers.of(record).alive(record.handle)

    async def _ended(self, vm_id: str, handle: Handle, end: Exit) -> None:
        """A process has ended: put that on record, unless a change has done so by then."""
        await self._until_idle(vm_id)
        record = self._machines.get(vm_id)
        if record is not None and record.handle == handle:
            await switch_off(self._parts, vm_id)
            record = settle(self._parts, vm_id, end)
            log.info("machine %s ended: %s", vm_id, end.reason)
        if record is not None and record.ephemeral and record.handle is None:
            self._unwanted(vm_id)

    def _stalled(self, vm_id: str, handle: Handle, reason: str | None) -> None:
        """The host has stopped a running machine, or lets it go on: on record for as long as it lasts."""
        record = self._machines.get(vm_id)
        if record is not None and record.handle == handle and record.state == "running" and record.error != reason:
            self._machines.change(vm_id, error=reason)
            log.warning("machine %s %s", vm_id, f"stands still: {reason}" if reason else "goes on")

    async def _until_idle(self, vm_id: str) -> None:
        """Raises `errors.Interrupted` when a change is left to the next daemon: waiting for it would have no end."""
        joined = None
        while (under_way := self._change_of(vm_id)) is not None:
            if under_way.id == joined:
                raise errors.Interrupted()
            joined = under_way.id
            with contextlib.suppress(errors.BangerError):
                await self._engine.join(joined)

    def _change_of(self, vm_id: str) -> Operation | None:
        record = self._machines.get(vm_id)
        return self._engine.under_way(vm_id) if record is None else self._under_way(record)

    # -- the daemon's own start and end -------------------------------------------------------------------------------

    async def find_lost(self) -> None:
        """Enter machines again whose rows are gone. Call it before the engine recovers."""
        self._prepare_directories()
        transient = [each for each in self._engine.unfinished() if each.kind in plans.TRANSIENT]
        await lost.recover(self._parts, {each.subject_id or "" for each in transient})

    async def recover(self) -> None:
        """Find every machine again: serve those that run, put the end of the others on record."""
        self._prepare_directories()
        if refusal := await attaching.recover(self._parts):
            log.error("what an earlier daemon left on this host could not be taken over: %s", refusal)
        for record in self._machines.all():
            if record.worker_of:
                self._unwanted(record.id)
            elif record.handle is None or self._engine.under_way(record.id) is not None:
                if record.ephemeral:
                    self._holds.await_first(record.id)
            elif record.state == "running" and self._parts.drivers.of(record).alive(record.handle):
                self._parts.watch.begin(record.id, record.handle)
                self._ready(record)
            else:
                end = await self._parts.drivers.of(record).wait(record.handle, 0) or Exit(reason="failed")
                try:
                    await self._ended(record.id, record.handle, end)
                except errors.DiskFull:  # nobody could make room if that kept the daemon from starting
                    self._parts.watch.begin(record.id, record.handle)

    def _prepare_directories(self) -> None:
        """Ours alone; under root the monitors' users may pass through to what is theirs, without listing anything."""
        paths = self._parts.paths
        for directory in (paths.state, paths.vms, paths.images, paths.kernels, paths.staging):
            os.makedirs(directory, mode=0o700, exist_ok=True)
            if self._parts.own_users and directory != paths.staging:
                os.chmod(directory, 0o711)  # noqa: S103 - a way through, not a view

    async def close(self) -> None:
        """Let go of everything; the machines go on."""
        self._holds.close()
        await self._parts.watch.close()
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._parts.connections.close()
        if self._parts.network is not None:
            await self._parts.network.close()

    def _spawn(self, coroutine: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(_logged(coroutine))
        self._background.add(task)
        task.add_done_callback(self._background.discard)


async def _logged(coroutine: Coroutine[object, object, None]) -> None:
    try:
        await coroutine
    except errors.BangerError as failed:
        log.warning("%s", failed.message)
    except Exception:
        log.exception("an unexpected failure in the background")


def _bounded(timeout: float) -> float:
    if not 0 <= timeout <= STOP_TIMEOUT_LIMIT:
        raise errors.UsageError(detail=f"a time limit for stopping is 0 to {STOP_TIMEOUT_LIMIT:g} seconds")
    return timeout
