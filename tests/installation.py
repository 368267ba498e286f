"""The services of one installation over a real store, engine and driver, and the death of its daemon.

`Installation.daemon` is what a daemon is below its HTTP face. Leaving the block is that daemon's end in the middle of
whatever it does: machines go on, changes stay unfinished on record. `close` ends the machines.

The driver is the fake one unless a test asks for another. Its guests' agent is this project's own, which then runs its
commands on this host.
"""

import asyncio
import contextlib
import fcntl
import functools
import hashlib
import io
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import msgspec

from banger import proc
from banger.api.image import ImportImage
from banger.api.operation import Operation
from banger.api.vm import CreateVm, ExecVm
from banger.builds.service import BuildService
from banger.config import settings
from banger.engine.engine import Engine
from banger.images.record import ImageRecord
from banger.images.service import ImageService
from banger.kernels import cpio, initrd, kernel
from banger.kernels.service import DISTRIBUTION, KernelService
from banger.paths import Paths
from banger.store.database import Database
from banger.store.records import Records
from banger.vmm.driver import Driver
from banger.vmm.drivers import Drivers
from banger.vmm.fake.driver import AGENT_VARIABLE, FakeDriver
from banger.vms.record import VmRecord
from banger.vms.service import VmService
from tests.ext4_image import sound
from tests.kept import build_cache

PROJECT = Path(__file__).resolve().parents[1]
MIB = 1 << 20
IMAGE = "tiny"


def scenario(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that awaits."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))

    return run


@functools.cache
def agent() -> str:
    """The guest agent: the one that the set-up has built, or one built now."""
    packaged = PROJECT / "src" / "banger" / "guest" / "agent" / "x86_64" / "banger-agent"
    if packaged.exists():
        return str(packaged)
    out = build_cache() / "test-agent"
    with open(f"{out}.lock", "w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        script = PROJECT / "guest-agent" / "build.py"
        subprocess.run(
            [sys.executable, script, "--arch", "x86_64", "--out", out], check=True, stdout=subprocess.DEVNULL
        )
    return str(out / "x86_64" / "banger-agent")


class Daemon:
    """The services between start and death."""

    def __init__(
        self, engine: Engine, images: ImageService, builds: BuildService, kernels: KernelService, vms: VmService
    ) -> None:
        self.engine = engine
        self.images = images
        self.builds = builds
        self.kernels = kernels
        self.vms = vms

    async def done(self, operation: Operation) -> Operation:
        """Wait for the end of a change; raises its error. Images that there are then pass e2fsck."""
        ended = await self.engine.join(operation.id)
        if operation.kind.startswith("image."):
            for image in (each for each in self.images.list() if each.managed):
                with contextlib.suppress(FileNotFoundError):  # it may be removed meanwhile
                    sound(image.rootfs)
        return ended

    async def create(self, name: str = "one", **fields: Any) -> Operation:
        """A small machine of the tiny image, through to its end."""
        fields = {"image": IMAGE, "memory": 256 * MIB, **fields}
        return await self.done(await self.vms.create(CreateVm(name=name, **fields)))

    async def run(self, ref: str, *argv: str, **fields: Any) -> tuple[int | None, str]:
        """A command's exit code and what it wrote."""
        command, _ = await self.vms.exec(ref, ExecVm(argv=list(argv), **fields))
        output = b"".join([data async for _, data in command.output()])
        return (await command.wait()).exit_code, output.decode()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what comes about by itself; the suite's own limit ends a test where it never does."""
        while not condition():  # noqa: ASYNC110 - what is waited for is on record, and records tell nobody
            await asyncio.sleep(0.02)

    def names(self) -> list[str]:
        return [each.name for each in self.vms.list()]


@contextlib.contextmanager
def stocked(root: Path) -> "Iterator[Installation]":
    """An installation with the stock image and kernel, until the block ends."""
    made = Installation(root)
    try:
        made.stock()
        yield made
    finally:
        made.close()


class Installation:
    """Directories, and the daemons that work in them one after another."""

    def __init__(self, root: Path, driver: Callable[[Paths], Driver] | None = None) -> None:
        self._runtime = tempfile.mkdtemp(prefix="bt-")  # sockets need short names
        self.paths = Paths(str(root / "config"), str(root / "state"), str(root / "cache"), self._runtime)
        self._driver = driver or (lambda paths: FakeDriver())
        self._agent = agent()
        os.makedirs(self.paths.state, exist_ok=True)
        self.answer()

    def answer(self, command: str | None = None) -> None:
        """What runs as the agent of machines that start from now on; the real one unless given."""
        os.environ[AGENT_VARIABLE] = command or f"{shlex.quote(self._agent)} serve-fd 0"

    @contextlib.asynccontextmanager
    async def daemon(self, *, grace: float = 60.0, **configured: object) -> AsyncIterator[Daemon]:
        """A daemon from its start to its sudden end."""
        database = Database(self.paths.database)
        engine = Engine(database)
        # whatever else this host's disk is full of
        config = settings.build({"disk_reserve": 0, "vm_defaults.work_disk_size": 64 * MIB, **configured})
        records = Records(database, "images", ImageRecord)
        images = ImageService(engine, records, self.paths, config, self._agent)
        kernels = KernelService(engine, self.paths, config, self._agent)
        drivers = Drivers(self.paths.probe_cache)
        drivers.use(self._driver(self.paths))
        vms = VmService(
            engine=engine,
            records=Records(database, "vms", VmRecord),
            images=images,
            kernels=kernels,
            drivers=drivers,
            paths=self.paths,
            settings=config,
            grace=grace,
        )
        builds = BuildService(engine, records, images, vms, self.paths, config)
        try:
            await vms.find_lost()
            await engine.recover()
            images.recover()
            kernels.recover()
            await vms.recover()
            yield Daemon(engine, images, builds, kernels, vms)
        finally:
            await engine.close()
            await vms.close()
            database.close()

    def stock(self) -> None:
        """Give it a kernel that the fake driver takes for one, and a tiny image."""
        directory = Path(self.paths.kernel(DISTRIBUTION))
        fake_kernel(directory, self._agent)
        archive = Path(self.paths.state).parent / "tiny.tar"
        archive.write_bytes(tiny_root())

        async def bring() -> None:
            async with self.daemon() as daemon:
                request = ImportImage(path=str(archive), name=IMAGE, size=64 * MIB)
                await daemon.done(await daemon.images.import_archive(request))

        asyncio.run(bring())

    def machine_files(self) -> list[str]:
        """What is there of machines, on disk and at run time, and of work in progress."""
        found = []
        for directory in (self.paths.vms, os.path.join(self.paths.runtime, "vms"), self.paths.staging):
            if os.path.isdir(directory):
                found += [os.path.join(directory, name) for name in sorted(os.listdir(directory))]
        return found

    def close(self) -> None:
        """End every machine and remove the runtime directory."""
        if os.path.exists(self.paths.database):
            database = Database(self.paths.database)
            for record in Records(database, "vms", VmRecord).list():
                if record.handle is not None:
                    proc.send_signal(proc.Identity(record.handle.pid, record.handle.start_ticks), 9)
            database.close()
        os.environ.pop(AGENT_VARIABLE, None)
        shutil.rmtree(self._runtime, ignore_errors=True)


def fake_kernel(directory: Path, agent_path: str) -> None:
    """A directory in the form of a kernel's, without a kernel in it."""
    directory.mkdir(parents=True)
    modules = cpio.archive([])
    content = Path(agent_path).read_bytes()
    (directory / kernel.VMLINUX).write_bytes(b"\x7fELF and no more")
    (directory / kernel.INITRD).write_bytes(modules + initrd.agent_archive(content))
    record = kernel.Kernel(
        name=directory.name,
        release="6.1.0",
        arch="x86_64",
        source="a test",
        created=time.time(),
        agent=hashlib.sha256(content).hexdigest(),
        modules_size=len(modules),
        files={name: kernel.File(1, "") for name in (kernel.VMLINUX, kernel.INITRD)},
    )
    (directory / kernel.RECORD).write_bytes(msgspec.json.encode(record))


def tiny_root() -> bytes:
    """A root file system with next to nothing in it, as a tar archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in ("etc", "tmp"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
    return out.getvalue()
