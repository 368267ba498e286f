"""Machines: everything that a client can ask of them.

Requests are checked here, before anything exists; what changes a machine becomes a change of the engine (`plans`).
The verbs say what shall be: a machine that is so already is told of, and so is the change that is on the way there.
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from banger import errors
from banger.api.operation import Operation
from banger.api.vm import CreateVm, KeepVm, SetVm, StopVm, Vm, VmStatsList
from banger.config.settings import Config
from banger.engine.engine import Engine
from banger.engine.turns import Purpose
from banger.images.service import ImageService
from banger.kernels.service import KernelService
from banger.net.service import GuestNetwork
from banger.paths import Paths
from banger.privileged.runner import Privileged
from banger.store.records import Records
from banger.vmm.driver import Exit, Handle
from banger.vmm.drivers import Drivers
from banger.vms import (
    attaching,
    claims,
    handles,
    known,
    labels,
    lost,
    orphans,
    plans,
    publishing,
    reshaping,
    strays,
    usage,
    wanted,
    workdisks,
)
from banger.vms.connections import Connections
from banger.vms.deadline import Deadline
from banger.vms.ending import PowerOff, settle, switch_off
from banger.vms.forwards import Forwards
from banger.vms.holds import GRACE, Holds
from banger.vms.leases import Leases
from banger.vms.leftovers import Leftovers
from banger.vms.parts import Parts
from banger.vms.plans import Changed, Created
from banger.vms.record import Machines, VmRecord, view
from banger.vms.reshaping import Reformed
from banger.vms.sessions import Sessions
from banger.vms.tokens import Tokens
from banger.vms.watch import Watch
from banger.vms.workers import Workers

log = logging.getLogger("banger.vms")

STOP_TIMEOUT_LIMIT = 3600.0

PROMISED = 256
"""How many of the names given last are not generated again, whether their machines are on record by now or not."""


class VmService(Sessions):
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
        super().__init__()
        self._engine = engine
        self._machines = Machines(records, engine.events, lambda: known.tell(paths, self._machines))
        self._holds = Holds(self._unwanted, grace)
        self._leases = Leases(self._machines, self._run_out, self._occupied, settings.auto_stop_stale_after)
        self._tokens = Tokens(self._machines, self._created, engine.join)
        self._promised: deque[str] = deque(maxlen=PROMISED)
        self._parts = Parts(
            machines=self._machines,
            images=images,
            kernels=kernels,
            drivers=drivers,
            connections=Connections(drivers),
            forwards=Forwards(self._dial, self._leases.activity.using, self._called),
            watch=Watch(drivers, settings.console_limit, self._ended, self._stalled),
            paths=paths,
            settings=settings,
            own_users=os.geteuid() == 0,
            privileged=privileged,
            network=network,
            ready=self._ready,
        )
        self.workers = Workers(self._parts, self._decide)
        self.leftovers = Leftovers(self._parts, engine, self._under_way, self._take_over)
        images.guard(self._machines.users_of_image)
        images.admission.know(lambda: claims.machines(self._machines, paths))
        kernels.guard(
            lambda name: [*self._machines.users_of_kernel(name), *(f"image {each}" for each in images.naming(name))]
        )
        for kind in plans.kinds(self._parts):
            engine.register(kind)

    # -- looking ------------------------------------------------------------------------------------------------------

    def list(self, wanted: Sequence[str] = ()) -> list[Vm]:
        """Every machine that has the labels ``wanted``, oldest first. Raises `errors.UsageError`."""
        fulfilled = labels.selector(wanted)
        return [self._view(each) for each in self._machines.all() if fulfilled(each.labels)]

    def show(self, ref: str) -> Vm:
        """Raises `errors.NotFound`, `errors.Ambiguous`."""
        return self._view(self._machines.find(ref))

    async def stats(self, refs: Sequence[str]) -> VmStatsList:
        """What machines take: those that run, or those that are named, each once. Raises `errors.NotFound`."""
        named = {each.id: each for each in map(self._machines.find, refs)}
        records = [*named.values()] if refs else [each for each in self._machines.all() if each.state == "running"]
        return VmStatsList(
            stats=await asyncio.to_thread(lambda: [usage.of(each, self._parts.paths) for each in records])
        )

    def _view(self, record: VmRecord) -> Vm:
        under_way = self._under_way(record)
        return view(record, under_way.id if under_way else None, publishing.view(self._parts, record))

    # -- changing -----------------------------------------------------------------------------------------------------

    async def create(self, request: CreateVm) -> Operation:
        """Make a machine, and start it. Raises, before anything exists, whatever is wrong with the request.

        A request with a token is carried out once: see `banger.vms.tokens`.
        """

        async def begin(asked: str) -> Operation:
            record = msgspec.structs.replace(await self._decide(request), token=request.token or "", asked=asked)
            return self._begin(plans.CREATE, record, Created(record, request.start, tools=request.tools))

        return await begin("") if request.token is None else await self._tokens.once(request, begin)

    def _created(self, record: VmRecord) -> Operation:
        """The creation of a machine that is there; where that is forgotten, one that finds it so."""
        known = (each for each in self._engine.operations() if each.subject_id == record.id)
        found = next((each for each in known if each.kind == plans.CREATE), None)
        return found or self._begin(plans.CREATE, record, Created(record, True, f"{record.name} is there already"))

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
            workdisks.size(record.work_disk_size, 0, workdisks.least(parts, image.id))
        parts.kernels.expect(record.kernel or (image.kernel if image is not None else ""))
        if request.start:
            self._check_ports(record)
        self._promised.append(record.name)
        return record

    async def set(self, ref: str, request: SetVm) -> Operation:
        """Change what a machine is. Raises `errors.UsageError` (no disk shrinks), `errors.PortUnavailable`."""
        record = self._machines.find(ref)
        reformed = reshaping.decide(record, request)
        if record.state == "running":
            self._parts.forwards.check(record.id, publishing.targets(record, reformed.after.publish)[0])
        return self._begin(plans.SET, record, reformed)

    async def keep(self, ref: str, request: KeepVm) -> Vm:
        """Begin a machine's time limit anew. Raises `errors.UsageError` where there is none, `errors.Busy`."""
        record = self._machines.find(ref)
        under_way = self._under_way(record)
        if under_way is not None and (record.worker_of or under_way.kind in (plans.STOP, plans.KILL, plans.DELETE)):
            raise errors.Busy(kind="machine", name=record.name, change=under_way.kind)
        if request.forever and request.ttl is not None:
            raise errors.UsageError(detail="for ever and for some time contradict each other")
        ttl = record.ttl if request.ttl is None else wanted.time_limit(request.ttl)
        if ttl is None and not request.forever:
            raise errors.UsageError(detail=f"{record.name!r} has no time limit: say for how long to keep it")
        ttl = None if request.forever else ttl
        deadline = Deadline.after(ttl) if ttl is not None and record.state == "running" else None
        changed = self._machines.change(record.id, ttl=ttl, deadline=deadline)
        assert changed is not None
        self._leases.wake()
        await handles.kept(self._parts.paths, changed)  # else a lost row would bring the old limit back
        return self._view(changed)

    async def start(self, ref: str) -> Operation:
        """Start a machine, unless it runs already. Raises `errors.PortUnavailable` for what it publishes."""
        record = self._machines.find(ref)
        if joined := self._joined(record, plans.START):
            return joined
        self._check_idle(record)
        if record.state == "running":
            return self._begin(plans.START, record, plans.starting(record, already=f"{record.name} runs already"))
        self._check_ports(record)
        return self._begin(plans.START, record, plans.starting(record))

    async def stop(self, ref: str, request: StopVm) -> Operation:
        """Power off in order, within the request's time; nothing is to be done on a machine that does not run."""
        record, timeout = self._machines.find(ref), _bounded(request.timeout)
        if joined := self._joined(record, plans.STOP, plans.KILL):
            return joined
        return self._begin(plans.STOP, record, Changed(record.id, timeout, already=plans.at_rest(record)))

    async def restart(self, ref: str, request: StopVm) -> Operation:
        """Power off in order, then start; a machine that does not run is just started."""
        record = self._machines.find(ref)
        self._check_ports(record)
        return self._begin(plans.RESTART, record, plans.starting(record, timeout=_bounded(request.timeout)))

    async def kill(self, ref: str) -> Operation:
        """Switch off at once; an orderly stop that is under way becomes a quick one."""
        record = self._machines.find(ref)
        if joined := self._joined(record, plans.STOP, plans.KILL):
            if joined.kind == plans.STOP and joined.step in ("", PowerOff.name):
                self._parts.hurry.setdefault(joined.id, asyncio.Event()).set()
            return joined
        return self._begin(plans.KILL, record, Changed(record.id, already=plans.at_rest(record)))

    async def delete(self, ref: str, *, at_rest: bool = False) -> Operation:
        """Switch off and remove, disk included. Raises `errors.WrongState` on one that runs and must not."""
        record = self._machines.find(ref)
        if at_rest and record.state == "running":
            raise errors.WrongState(name=record.name, state=record.state, needed="stopped")
        return self._joined(record, plans.DELETE) or self._begin(plans.DELETE, record, Changed(record.id))

    def _check_ports(self, record: VmRecord) -> None:
        self._parts.forwards.check(record.id, publishing.targets(record)[0])

    def _joined(self, record: VmRecord, *kinds: str) -> Operation | None:
        """The change that does already what is asked for."""
        under_way = self._engine.under_way(record.id)
        return under_way if under_way and under_way.kind in kinds and under_way.state == "running" else None

    def _begin(
        self, kind: str, record: VmRecord, spec: Created | Changed | Reformed, *, waited: bool = False
    ) -> Operation:
        if record.worker_of:
            self._check_idle(record)
        plain = msgspec.to_builtins(spec)
        wish = claims.of(self._parts, record, spec) if kind in plans.TAKING else None
        with self._parts.images.admission.admitted(wish) as notices:
            return self._engine.begin(
                kind, subject=record.name, subject_id=record.id, spec=plain, notices=notices, waited=waited
            )

    # -- ephemeral machines -------------------------------------------------------------------------------------------

    def _ready(self, record: VmRecord) -> None:
        self._leases.began(record)
        if record.ephemeral and not record.worker_of:
            self._holds.await_first(record.id)

    def _unwanted(self, vm_id: str) -> None:
        self._spawn(self._remove_ephemeral(vm_id))

    async def _remove_ephemeral(self, vm_id: str) -> None:
        """Delete, once no other change is in the way."""
        await self._turn(vm_id, lambda: plans.DELETE)
        record = self._machines.get(vm_id)
        if record is not None and record.ephemeral:
            self._begin(plans.DELETE, record, Changed(vm_id), waited=True)
            self._holds.forget(vm_id)

    # -- the end of machines ------------------------------------------------------------------------------------------

    async def _ended(self, vm_id: str, handle: Handle, end: Exit) -> None:
        """A process has ended: put that on record, unless a change has done so by then."""

        def on_record() -> bool:
            record = self._machines.get(vm_id)
            return record is None or record.handle != handle

        await self._turn(vm_id, lambda: "" if on_record() else plans.KILL)
        record = self._machines.get(vm_id)
        if not on_record():
            await switch_off(self._parts, vm_id)
            record = settle(self._parts, vm_id, end)
            log.info("machine %s ended: %s", vm_id, end.reason)
        if record is not None and record.ephemeral and record.handle is None:
            self._unwanted(vm_id)

    async def _run_out(self, vm_id: str, reason: str, due: Callable[[], bool]) -> None:
        """A time limit has passed: end the machine, once no change is in the way, if it is still so then."""
        await self._turn(vm_id, lambda: plans.STOP if due() else "")
        record = self._machines.get(vm_id)
        if record is None or not due():
            return
        if record.ephemeral:
            operation = self._begin(plans.DELETE, record, Changed(vm_id), waited=True)
            self._holds.forget(vm_id)
        else:
            stopped = Changed(vm_id, StopVm().timeout, because=reason)
            operation = self._begin(plans.STOP, record, stopped, waited=True)
        await self._engine.join(operation.id)

    def _stalled(self, vm_id: str, handle: Handle, reason: str | None) -> None:
        """The host has stopped a running machine, or lets it go on: on record for as long as it lasts."""
        record = self._machines.get(vm_id)
        if record is not None and record.handle == handle and record.state == "running" and record.error != reason:
            self._machines.change(vm_id, error=reason)
            log.warning("machine %s %s", vm_id, f"stands still: {reason}" if reason else "goes on")

    async def _turn(self, vm_id: str, purpose: Purpose) -> None:
        """Wait for a turn with a machine, and with what it works for. Raises as `Engine.turn`."""
        await self._engine.turn(vm_id, purpose)
        while (record := self._machines.get(vm_id)) is not None and self._under_way(record) is not None:
            await self._engine.turn(record.worker_of or vm_id, purpose)

    # -- the daemon's own start and end -------------------------------------------------------------------------------

    async def find_lost(self) -> None:
        """Enter machines again whose rows are gone. Call it before the engine recovers."""
        self._parts.prepare_directories()
        parts = self._parts
        ending = {each.subject_id for each in self._engine.unfinished() if each.kind in plans.TRANSIENT}
        running = await asyncio.to_thread(strays.everywhere, parts.paths)
        gone = sorted((lost.there(parts.paths) | set(running)) - {each.id for each in self._machines.all()})
        found = [orphans.lost_machine(parts, each, running.get(each, []), each in ending) for each in gone]
        await orphans.clear(found)

    async def recover(self) -> None:
        """Find every machine again: serve those that run, put the end of the others on record, clear what is left."""
        self._parts.prepare_directories()
        if refusal := await attaching.recover(self._parts):
            log.error("what an earlier daemon left on this host could not be taken over: %s", refusal)
        for record in self._machines.all():
            await self._take_over(record)
        try:
            await self.leftovers.clear()
        except errors.BangerError as failed:
            log.error("what is left over on this host could not be looked for: %s", failed.message)
        self._leases.start()

    async def _take_over(self, record: VmRecord) -> None:
        """A machine that this daemon did not start."""
        handles.mend(self._parts.paths, record)
        if record.worker_of:
            self._unwanted(record.id)
        elif record.handle is None or self._engine.under_way(record.id) is not None:
            if record.ephemeral:
                self._holds.await_first(record.id)
        elif record.state == "running" and self._parts.drivers.of(record).alive(record.handle):
            self._parts.watch.begin(record.id, record.handle)
            await publishing.again(self._parts, record)
            self._ready(record)
        else:
            end = await self._parts.drivers.of(record).wait(record.handle, 0) or Exit(reason="failed")
            try:
                await self._ended(record.id, record.handle, end)
            except errors.DiskFull:  # nobody could make room if that kept the daemon from starting
                self._parts.watch.begin(record.id, record.handle)

    async def close(self) -> None:
        """Let go of everything; the machines go on."""
        self._holds.close()
        await self._parts.forwards.close()
        await self._leases.close()
        await self._tokens.close()
        await self._parts.watch.close()
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._parts.connections.close()
        if self._parts.network is not None:
            await self._parts.network.close()


def _bounded(timeout: float) -> float:
    if not 0 <= timeout <= STOP_TIMEOUT_LIMIT:
        raise errors.UsageError(detail=f"a time limit for stopping is 0 to {STOP_TIMEOUT_LIMIT:g} seconds")
    return timeout
