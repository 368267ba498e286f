"""A daemon like any other, but with services of a few lines: what is tested with it is the daemon itself.

Started as a process by `Daemon`; the real services have tests of their own. Its machines are the records in its store,
and the commands of a guest are these words:

- ``cat``, and ``/bin/sh`` whatever it is told: writes its stdin to its stdout; ``count N``: writes N frames;
  ``exit N``, ``signal N``
- ``stuck``: reads nothing and ends when it is killed, which it notes in the file ``killed`` in the state directory
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence

import msgspec

from banger import errors
from banger.api.catalog import CatalogEntry, CatalogList
from banger.api.daemon import Check, Report
from banger.api.image import CacheUse, Image, ImportImage, PullImage, RegisterImage
from banger.api.kernel import ImportKernel, KernelInfo, PullKernel
from banger.api.operation import Operation
from banger.api.port import Forward, Forwarded, VmPorts
from banger.api.recipe import BuildImage
from banger.api.session import AttachSession, SessionInfo, SessionList, SessionLog, StartSession
from banger.api.vm import CreateVm, ExecVm, Health, KeepVm, SetVm, StopVm, Vm, VmStatsList
from banger.api.workspace import AskStates, FileStates, Import, Workspace
from banger.config.settings import Config
from banger.daemon import main
from banger.daemon.services import Services
from banger.daemon.wiring import open_store
from banger.engine import change
from banger.engine.engine import Engine
from banger.paths import Paths
from banger.store.records import Records


class End(msgspec.Struct):
    exit_code: int | None = None
    signal: int | None = None
    timed_out: bool = False


class Command:
    """One of the words above."""

    def __init__(self, argv: list[str], state: str) -> None:
        self._argv = argv
        self._state = state
        self._pipe: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._killed = asyncio.Event()
        self._end = End(exit_code=0)

    async def write(self, data: bytes) -> bool:
        if self._argv[0] == "stuck":
            await self._killed.wait()
        await self._pipe.put(data)
        return True

    async def close_stdin(self) -> None:
        await self._pipe.put(None)

    async def resize(self, rows: int, cols: int) -> None:
        await self._pipe.put(f"{rows}x{cols}".encode())

    async def signal(self, number: int) -> None:
        self._end = End(signal=number)
        self._killed.set()

    async def kill(self) -> None:
        note(self._state, "killed")
        self._killed.set()

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        word, *rest = self._argv
        if word in ("cat", "/bin/sh"):
            while (data := await self._pipe.get()) is not None:
                yield 1, data
        elif word == "count":
            for number in range(int(rest[0])):
                note(self._state, f"frame {number}", quiet=number % 64 != 0)
                yield 1 + number % 2, bytes(65536)
        elif word == "exit":
            self._end = End(exit_code=int(rest[0]))
        elif word == "lost":
            yield 1, b"so far"
            raise errors.AgentLost(reason="it was told to", name="m")
        else:
            await self._killed.wait()

    async def wait(self) -> End:
        return self._end


def note(state: str, text: str, *, quiet: bool = False) -> None:
    if not quiet:
        with open(os.path.join(state, "notes"), "a", encoding="utf-8") as file:
            file.write(f"{text}\n")


def _place(machine: Vm, request: ExecVm) -> Workspace | None:
    """The workspace, where no directory was asked for."""
    return None if request.cwd else machine.workspace


class Made:
    def __init__(self, identity: str) -> None:
        self.kind = "file"
        self.identity = identity


class Touch:
    """Makes a file, slowly where it is asked to."""

    def __init__(self, path: str, name: str, hang: bool) -> None:
        self.name = name
        self.resource: change.Resource | None = Made(path)
        self.recorded: change.Spec = {}
        self._path = path
        self._hang = hang

    async def do(self, report: change.Report) -> None:
        with open(self._path, "w", encoding="utf-8"):
            pass
        report.notice("made")
        if self._hang:
            await asyncio.Event().wait()

    async def undo(self, report: change.Report) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)


class Vms:
    def __init__(self, engine: Engine, records: Records[Vm], state: str) -> None:
        self._engine = engine
        self._records = records
        self._state = state
        self._held = 0
        engine.register(change.Kind("vm.create", self._plan))
        for verb in ("start", "stop", "restart", "kill", "delete"):
            engine.register(change.Kind(f"vm.{verb}", lambda spec: []))

    def _plan(self, spec: change.Spec) -> Sequence[change.Task]:
        name = str(spec["name"])
        path = os.path.join(self._state, name)
        return [Touch(f"{path}.1", "first", False), Touch(f"{path}.2", "second", name.startswith("hang"))]

    def list(self, labels: Sequence[str] = ()) -> list[Vm]:
        return self._records.list()

    def show(self, ref: str) -> Vm:
        return self._records.resolve(ref)

    async def create(self, request: CreateVm) -> Operation:
        name = request.name or "unnamed"
        self._records.insert(
            Vm(id=f"id-{name}", name=name, state="created", image="i", image_id="i", kernel="k", vcpu=1, memory=1,
               disk_size=1, driver="none", created=1.0)
        )  # fmt: skip
        return self._engine.begin("vm.create", subject=name, subject_id=f"id-{name}", spec={"name": name})

    async def keep(self, ref: str, request: KeepVm) -> Vm:
        return self.show(ref)

    def _begin(self, verb: str, ref: str, state: str, needed: str) -> Operation:
        """Machines that are called ``m`` refuse every change; those of others end at once."""
        vm = self.show(ref)
        if vm.name == "m":
            raise errors.WrongState(name=vm.name, state=state, needed=needed)
        return self._engine.begin(f"vm.{verb}", subject=vm.name, subject_id=vm.id, spec={})

    async def start(self, ref: str) -> Operation:
        return self._begin("start", ref, "running", "stopped")

    async def stop(self, ref: str, request: StopVm) -> Operation:
        return self._begin("stop", ref, f"stopped {request.timeout:g}", "running")

    async def restart(self, ref: str, request: StopVm) -> Operation:
        return self._begin("restart", ref, f"stopped {request.timeout:g}", "running")

    async def set(self, ref: str, request: SetVm) -> Operation:
        return await self.start(ref)

    async def kill(self, ref: str) -> Operation:
        return self._begin("kill", ref, "running", "stopped")

    async def delete(self, ref: str, *, at_rest: bool) -> Operation:
        return self._begin("delete", ref, "running", "stopped")

    async def stats(self, refs: Sequence[str]) -> VmStatsList:
        return VmStatsList(stats=[])

    async def health(self, ref: str) -> Health:
        raise ZeroDivisionError("a fault of ours")

    async def ports(self, ref: str) -> VmPorts:
        found = self.show(ref)
        return VmPorts(id=found.id, name=found.name, ports=[])

    @contextlib.asynccontextmanager
    async def forward(self, ref: str, wanted: Sequence[str]) -> AsyncIterator[tuple[Forwarded, asyncio.Event]]:
        found, ended = self.show(ref), asyncio.Event()
        note(self._state, f"forward {' '.join(wanted)}")
        if wanted == ["1"]:
            ended.set()
        try:
            yield Forwarded(name=found.name, forwards=[Forward(address="127.0.0.1", port=1, guest=2)]), ended
        finally:
            note(self._state, f"free {' '.join(wanted)}")

    async def logs(self, ref: str, follow: bool) -> AsyncIterator[bytes]:
        yield b"console\n"
        while follow:
            await asyncio.sleep(0.01)
            yield b"more\n"

    async def exec(self, ref: str, request: ExecVm) -> tuple[Command, Workspace | None]:
        machine = self.show(ref)
        if request.argv[0] == "missing":
            raise errors.CommandNotFound(command="missing")
        return Command(request.argv, self._state), _place(machine, request)

    async def session_start(self, ref: str, request: StartSession) -> SessionInfo:
        machine = self.show(ref)
        place = _place(machine, request)
        return SessionInfo(
            id="0", name=request.name, vm=machine.name, state="running", pid=2, argv=request.argv, started=1.0,
            cwd=place.path if place is not None else request.cwd,
        )  # fmt: skip

    async def session_list(self, ref: str) -> SessionList:
        self.show(ref)
        return SessionList(sessions=[])

    async def session_show(self, ref: str, session: str) -> SessionInfo:
        raise errors.NotFound(kind="session", name=session)

    async def session_wait(self, ref: str, session: str) -> AsyncIterator[SessionInfo]:
        yield await self.session_show(ref, session)

    async def session_logs(
        self, ref: str, session: str, *, follow: bool = False, stream: str = "", tail: int | None = None
    ) -> AsyncIterator[SessionLog]:
        note(self._state, f"logs of {session}: {follow} {stream} {tail}")
        yield SessionLog(stream="stderr", data=b"\0said")

    @contextlib.asynccontextmanager
    async def session_attach(self, ref: str, session: str, request: AttachSession) -> AsyncIterator[Command]:
        yield Command([session], self._state)

    async def session_send(
        self, ref: str, session: str, chunks: AsyncIterator[bytes], *, eof: bool, timeout: float
    ) -> int:
        return sum([len(chunk) async for chunk in chunks])

    async def session_stop(self, ref: str, session: str, timeout: float) -> SessionInfo:
        return await self.session_show(ref, session)

    async def session_kill(self, ref: str, session: str, signal: int) -> None:
        raise errors.SessionEnded(name=session)

    async def put(self, ref: str, path: str, chunks: AsyncIterator[bytes]) -> None:
        self.show(ref)
        size = 0
        try:
            async for chunk in chunks:
                size += len(chunk)
        finally:
            note(self._state, f"put {path} {size}")

    async def get(self, ref: str, path: str) -> AsyncIterator[bytes]:
        if path == "/missing":
            raise errors.GuestRefused(reason="/missing does not exist")
        for number in range(int(path[1:]) if path[1:].isdigit() else 16):
            if path == "/late" and number == 8:
                raise errors.AgentLost(reason="half way", name="m")
            note(self._state, f"chunk {number}", quiet=number % 64 != 0)
            yield bytes(65536)

    async def states(self, ref: str, request: AskStates) -> FileStates:
        self.show(ref)
        return FileStates(states=[None for _ in request.names])

    async def import_workspace(self, ref: str, wanted: Import, chunks: AsyncIterator[bytes]) -> Workspace:
        await self.put(ref, wanted.path, chunks)
        told = {name: getattr(wanted, name) for name in ("path", "source", "commit", "branch", "start")}
        workspace = Workspace(id="w", **told, complete=True, imported=1.0)
        self._records.replace(msgspec.structs.replace(self.show(ref), workspace=workspace))
        return workspace

    async def workspace_listing(self, ref: str) -> bytes:
        raise errors.NotFound(kind="workspace", name=self.show(ref).name)

    @contextlib.asynccontextmanager
    async def hold(self, ref: str) -> AsyncIterator[None]:
        note(self._state, f"hold {ref}")
        try:
            yield
        finally:
            note(self._state, f"release {ref}")

    async def recover(self) -> None: ...
    async def close(self) -> None:
        note(self._state, "closed")


class Images:
    def list(self) -> list[Image]:
        return []

    def show(self, ref: str) -> Image:
        raise errors.NotFound(kind="image", name=ref)

    def catalog(self) -> CatalogList:
        return CatalogList(entries=[])

    async def register(self, request: RegisterImage) -> Operation:
        raise errors.SourceUnavailable(reference=request.path, reason="no such file")

    async def promote(self, ref: str) -> Operation:
        raise errors.NotFound(kind="image", name=ref)

    async def pull(self, request: PullImage) -> Operation:
        raise errors.SourceUnavailable(reference=request.reference, reason="there is no network here")

    async def import_archive(self, request: ImportImage) -> Operation:
        raise errors.SourceUnavailable(reference=request.path, reason="no such file")

    async def build(self, request: BuildImage) -> Operation:
        raise errors.BuildFailed(name=request.name, reason=",".join(request.packages))

    async def delete(self, ref: str) -> Operation:
        raise errors.InUse(kind="image", name=ref, users="m")

    def cache(self) -> CacheUse:
        return CacheUse(blobs=0, bytes=0)

    async def seed_faults(self) -> dict[str, str]:
        return {}

    async def prune_cache(self) -> Operation:
        raise errors.DiskFull(path="/")


class Kernels:
    def list(self) -> list[KernelInfo]:
        return []

    def show(self, ref: str) -> KernelInfo:
        raise errors.NotFound(kind="kernel", name=ref)

    def catalog(self) -> Sequence[CatalogEntry]:
        return []

    async def pull(self, request: PullKernel) -> Operation:
        raise errors.DiskFull(path="/")

    async def import_directory(self, request: ImportKernel) -> Operation:
        raise errors.NotAKernel(path=request.path, reason="it is empty")

    async def delete(self, ref: str) -> Operation:
        raise errors.NotFound(kind="kernel", name=ref)


class Names:
    async def close(self) -> None:
        pass


class Doctor:
    async def report(self) -> Report:
        return Report(checks=[Check(name="host", status="pass", detail="fine")])

    async def fix(self) -> Report:
        return await self.report()


async def wire(paths: Paths, config: Config) -> Services:
    database = open_store(paths)
    engine = Engine(database)
    vms = Vms(engine, Records(database, "vms", Vm), paths.state)
    await engine.recover()
    return Services(
        paths=paths, config=config, engine=engine, vms=vms, images=Images(), builds=Images(), kernels=Kernels(),
        names=Names(), doctor=Doctor(), started=time.time(), close=database.close,
    )  # fmt: skip


if __name__ == "__main__":
    try:
        main.run(Paths.from_environment(), wire)
    except errors.BangerError as failed:
        sys.exit(f"{failed.code}: {failed.message}")
