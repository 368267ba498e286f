"""What a client says to the guest of a running machine: commands, files, its health, its console.

Nothing here changes a record. An ephemeral machine is held for as long as somebody speaks with it.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from functools import partial

from banger import errors
from banger.api.operation import Operation
from banger.api.port import Forward, Forwarded, VmPorts
from banger.api.vm import ExecVm, Health
from banger.api.workspace import AskStates, FileState, FileStates, Import, Workspace
from banger.engine.engine import Engine
from banger.guest import web
from banger.guest.channel import Channel
from banger.guest.command import ExecSpec, GuestCommand
from banger.guest.connection import GuestConnection
from banger.vms import commands, console, ports, published, publishing, workspaces
from banger.vms.holds import Holds
from banger.vms.leases import Leases
from banger.vms.parts import Parts
from banger.vms.record import Machines, VmRecord

PATIENCE = 10.0
"""Seconds that an agent may take to say what runs in its machine."""

log = logging.getLogger("banger.vms")


class Talking:
    """The part of `banger.vms.service.VmService` that speaks with guests."""

    _engine: Engine
    _machines: Machines
    _holds: Holds
    _leases: Leases
    _parts: Parts

    def __init__(self) -> None:
        self._background: set[asyncio.Task[None]] = set()
        self._importing: set[str] = set()

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

    async def ports(self, ref: str) -> VmPorts:
        """What listens in a machine. Raises as `health` does."""
        record, channel = await self._attached(ref)
        try:
            async with asyncio.timeout(PATIENCE):
                listening = await channel.listeners()
        except TimeoutError:
            raise errors.GuestSilent(seconds=f"{PATIENCE:g}", name=record.name) from None
        ways = ports.ways(self._parts.forwards.bound(record.id))
        spoken = await ports.schemes(record, listening, partial(web.scheme, channel), ways)
        return ports.view(record, listening, spoken, ways, publishing.forwarded(self._parts, record))

    @contextlib.asynccontextmanager
    async def forward(self, ref: str, wanted: Sequence[str]) -> AsyncIterator[tuple[Forwarded, asyncio.Event]]:
        """Forward ports of the host into a machine for as long as the block lasts; where they are, and what is set when
        the machine ends before. Raises `errors.UsageError`, `errors.WrongState`, `errors.PortUnavailable`."""
        record = self._running(ref)
        if record.worker_of:
            self._check_idle(record)
        read = published.read(wanted)
        if not read:
            raise errors.UsageError(detail="say which port to forward, as in 8080:80")
        targets = {each.place: each.guest for each in read}
        told = [Forward(address=each.address, port=each.port, guest=each.guest) for each in read]
        with self._hold(record):
            async with self._parts.forwards.hold(record.id, targets) as ended:
                yield Forwarded(name=record.name, forwards=told), ended

    async def _dial(self, vm_id: str, port: int) -> GuestConnection:
        """A connection to what listens on the loopback of a machine that runs, by IPv4 or by IPv6 alone."""
        record = self._machines.get(vm_id)
        if record is None or record.state != "running":
            raise errors.AgentLost(reason="the machine does not run")
        channel = await self._parts.connections.get(record)
        try:
            return await channel.dial(port)
        except errors.GuestRefused:
            return await channel.dial(port, "::1")

    def logs(self, ref: str, follow: bool = False) -> AsyncIterator[bytes]:
        """The console as it is; ``follow`` goes on until the machine ends. Raw bytes of the guest's."""
        record = self._machines.find(ref)
        path = console.path(self._parts.paths.vm(record.id))
        return console.read(path, (lambda: self._alive(record.id)) if follow else None)

    def _spec(self, record: VmRecord, request: ExecVm) -> tuple[ExecSpec, Workspace | None]:
        config = self._parts.images.config(record.image_id)
        spec = commands.exec_spec(request, config, record.env, record.workspace)
        return spec, commands.place(request, config, record.workspace)

    async def exec(self, ref: str, request: ExecVm) -> tuple[GuestCommand, Workspace | None]:
        """Start a command; with it, the workspace that it runs in, if any. An ephemeral machine is held until it has
        ended. Raises what `Channel.exec` raises."""
        record, channel = await self._own(ref)
        spec, workspace = self._spec(record, request)
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._hold(record))
            command = await channel.exec(spec)
            command.when_ended(stack.pop_all().close)
            return command, workspace

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

    async def states(self, ref: str, request: AskStates) -> FileStates:
        """What names below a directory of the guest are. Raises `errors.GuestRefused`, `errors.UsageError`."""
        if not request.path or any(not each or b"\0" in each for each in (request.path.encode(), *request.names)):
            raise errors.UsageError(detail="a name is not empty and has no zero byte")
        record, channel = await self._attached(ref)
        with self._hold(record):
            found = await channel.states(request.path, request.names)
        return FileStates(states=[each and FileState(*each) for each in found])

    async def import_workspace(self, ref: str, wanted: Import, chunks: AsyncIterator[bytes]) -> Workspace:
        """Unpack a repository, on record before and after: see `workspaces`. One import at a time of one machine; no
        change waits for it. Raises `errors.WorkspaceBusy`, `errors.GuestRefused`, `errors.AgentLost`."""
        workspaces.check(wanted)
        record, channel = await self._own(ref)
        if record.id in self._importing:
            raise errors.WorkspaceBusy(name=record.name)
        self._importing.add(record.id)
        try:
            with self._hold(record):
                return await workspaces.take(self._machines, self._parts.paths, record.id, wanted, channel, chunks)
        finally:
            self._importing.discard(record.id)

    async def workspace_listing(self, ref: str) -> bytes:
        """What the last import's client wrote down of it. Raises `errors.NoWorkspace`."""
        record = self._machines.find(ref)
        if record.workspace is None:
            raise errors.NoWorkspace(name=record.name)
        return await asyncio.to_thread(workspaces.listing, self._parts.paths, record.id)

    async def _own(self, ref: str) -> tuple[VmRecord, Channel]:
        """As `_attached`, for what changes a machine. Raises `errors.Busy` on one that works for a change."""
        record = self._running(ref)
        if record.worker_of:
            self._check_idle(record)
        return record, await self._channel(record)

    async def _attached(self, ref: str) -> tuple[VmRecord, Channel]:
        record = self._running(ref)
        return record, await self._channel(record)

    async def _channel(self, record: VmRecord) -> Channel:
        try:
            return await self._parts.connections.get(record)
        except errors.AgentLost as lost:
            raise errors.AgentLost(reason=lost.data["reason"], name=record.name) from lost

    @contextlib.asynccontextmanager
    async def hold(self, ref: str) -> AsyncIterator[None]:
        """Keep an ephemeral machine for as long as the block lasts; any other is in use."""
        with self._hold(self._machines.find(ref)):
            yield

    @contextlib.contextmanager
    def _hold(self, record: VmRecord) -> Iterator[None]:
        held = self._holds.hold(record.id) if record.ephemeral else contextlib.nullcontext()
        with self._leases.activity.using(record.id), held:
            yield

    async def _occupied(self, record: VmRecord) -> bool:
        """Whether a command runs in the machine that nobody is attached to."""
        channel = await self._parts.connections.get(record, PATIENCE)
        return any(each.running for each in await channel.sessions())

    # -- who is there -----------------------------------------------------------------------------------------------

    def _under_way(self, record: VmRecord) -> Operation | None:
        """The change that a machine is in the middle of: its own, or the one that it works for."""
        own = self._engine.under_way(record.id)
        return self._engine.under_way(record.worker_of) if own is None and record.worker_of else own

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

    def _called(self, vm_id: str) -> str:
        record = self._machines.get(vm_id)
        return record.name if record is not None else vm_id

    def _alive(self, vm_id: str) -> bool:
        record = self._machines.get(vm_id)
        return record is not None and record.handle is not None and self._parts.drivers.of(record).alive(record.handle)

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
