"""Kernels on this host: list, pull, import, delete, and which one a machine gets.

A kernel is its directory ``kernels/NAME`` with the record in it; there is no row. The directory appears complete by one
rename and is replaced by another: machines that run keep what they have open, the next start takes the new one.
"""

import asyncio
import contextlib
import os
import secrets
from collections.abc import Callable, Sequence

import msgspec

from banger import errors
from banger.api.catalog import CatalogEntry
from banger.api.kernel import ImportKernel, KernelInfo, PullKernel
from banger.api.operation import Operation
from banger.bundles.receive import Source
from banger.catalog.entry import Bundle
from banger.catalog.reader import KERNEL_NAME, Catalogs, Listed
from banger.config.settings import Config
from banger.disk import staging
from banger.engine.change import Kind, Recovery, Report, Spec, Task
from banger.engine.engine import Engine
from banger.engine.sharing import Sharing
from banger.kernels import kernel as kernels
from banger.kernels import making
from banger.kernels.kernel import Kernel
from banger.kernels.making import Made
from banger.paths import Paths

DISTRIBUTION = "debian-cloud"
"""The name that the distribution's kernel gets unless another is asked for."""

ARCHITECTURE = "amd64"
"""Of all kernels that can be booted by now."""

STAGING = "kernel-"


class KernelService:
    """The kernels of one installation. ``agent`` is the path of the guest agent that goes into their initrds."""

    def __init__(self, engine: Engine, paths: Paths, settings: Config, agent: str) -> None:
        self.paths = paths
        self.agent = agent
        self._engine = engine
        self._settings = settings
        self._catalogs = Catalogs(paths.catalogs)
        self._sharing = Sharing(engine)
        self._initrd_lock = asyncio.Lock()
        self._users: Callable[[str], list[str]] = lambda name: []
        engine.register(Kind("kernel.pull", self._plan_make))
        engine.register(Kind("kernel.import", self._plan_make))
        engine.register(Kind("kernel.delete", self._plan_delete, recovery=Recovery.RESUME, cancellable=False))

    def guard(self, users: Callable[[str], list[str]]) -> None:
        """``users`` tells which machines need a kernel; those are never deleted."""
        self._users = users

    def recover(self) -> None:
        """Remove the work in progress of a daemon that died."""
        staging.sweep(self.paths.staging, STAGING)

    # -- looking ------------------------------------------------------------------------------------------------------

    def all(self) -> list[Kernel]:
        """Every kernel, by name."""
        found = []
        with contextlib.suppress(FileNotFoundError):
            for name in sorted(os.listdir(self.paths.kernels)):
                with contextlib.suppress(errors.NotAKernel):
                    found.append(kernels.load(self.paths.kernel(name)))
        return found

    def get(self, name: str) -> Kernel:
        """Raises `errors.NotFound`."""
        if not KERNEL_NAME.fullmatch(name) or not os.path.isdir(self.paths.kernel(name)):
            raise errors.NotFound(kind="kernel", name=name)
        return kernels.load(self.paths.kernel(name))

    def default(self) -> str:
        """What a machine gets unless it asks: the configured kernel, the distribution's, or the newest there is."""
        if self._settings.default_kernel:
            return self._settings.default_kernel
        present = self.all()
        if not present or any(each.name == DISTRIBUTION for each in present):
            return DISTRIBUTION
        return max(present, key=lambda each: each.created).name

    def list(self) -> "list[KernelInfo]":
        default = self.default()
        return [self._view(each, default) for each in self.all()]

    def show(self, ref: str) -> KernelInfo:
        return self._view(self.get(ref), self.default())

    def catalog(self) -> Sequence[CatalogEntry]:
        """What can be pulled by a name: the distribution's kernel, and those of the catalogs."""
        present = {each.name for each in self.all()}
        known = self._catalogs.entries("kernel")
        package = CatalogEntry(
            name=DISTRIBUTION, noun="kernel", kind="package", present=DISTRIBUTION in present,
            description="the distribution's own kernel for virtual machines, out of its package",
        )  # fmt: skip
        own = [] if any(each.name == DISTRIBUTION for each in known) else [package]
        return own + [_listed(each, each.name in present) for each in known]

    def _view(self, kernel: Kernel, default: str) -> KernelInfo:
        return KernelInfo(
            name=kernel.name,
            release=kernel.release,
            architecture=kernel.arch,
            source=kernel.source,
            default=kernel.name == default,
            directory=self.paths.kernel(kernel.name),
            size=sum(each.size for each in kernel.files.values()),
            created=kernel.created,
        )

    async def initrd(self, name: str) -> str:
        """The path of a kernel's shared initrd, with the agent of today in it."""
        directory = self.paths.kernel(name)
        async with self._initrd_lock:
            await kernels.refresh_initrd(directory, self.agent)
        return os.path.join(directory, kernels.INITRD)

    # -- changing -----------------------------------------------------------------------------------------------------

    async def pull(self, request: PullKernel) -> Operation:
        """Take the distribution's kernel, which stays as it is when it is here, or a catalog's.

        Raises `errors.NotFound`, `errors.WrongPlatform`, and `errors.AlreadyExists` for another than the distribution's
        that is here, unless ``force`` is given.
        """
        wanted = request.kernel or DISTRIBUTION
        name = _check(request.name or wanted)
        made = self._made(name, wanted)
        under_way = self._engine.under_way(_subject(name))
        if under_way is not None and under_way.kind == "kernel.pull":
            return self._sharing.adopt(under_way)
        here = not request.force and os.path.isdir(self.paths.kernel(name))
        if here and made.bundle is not None:
            taken = errors.AlreadyExists(kind="kernel", name=name)
            taken.advise("--force replaces it; machines that run keep what they have")
            raise taken
        return self._begin("kernel.pull", msgspec.structs.replace(made, present=here))

    def _made(self, name: str, wanted: str) -> Made:
        """The spec of a pull. Raises `errors.NotFound`, `errors.WrongPlatform`, `errors.BadSetting`."""
        entry = self._catalogs.kernel(wanted)
        if entry is None and wanted == DISTRIBUTION:
            return Made(name, _staging())
        if entry is None:
            for fault in self._catalogs.faults():
                raise fault
            unknown = errors.NotFound(kind="kernel", name=wanted)
            unknown.advise("'banger kernel list --catalog' shows what can be pulled")
            raise unknown
        if entry.arch != ARCHITECTURE:
            raise errors.WrongPlatform(reference=wanted, found=entry.arch, wanted=ARCHITECTURE)
        return Made(name, _staging(), bundle=Source(entry.url, entry.sha256, entry.size))

    async def import_directory(self, request: ImportKernel) -> Operation:
        """Take a kernel from a directory. Raises `errors.AlreadyExists`, `errors.UsageError`."""
        name = _check(request.name)
        if os.path.isdir(self.paths.kernel(name)):
            raise errors.AlreadyExists(kind="kernel", name=name)
        if not os.path.isabs(request.path):
            raise errors.UsageError(detail=f"{request.path!r} is not an absolute path")
        if not os.path.isdir(request.path):
            raise errors.NotAKernel(path=request.path, reason="it is no directory")
        return self._begin("kernel.import", Made(name, _staging(), request.path))

    async def delete(self, ref: str) -> Operation:
        """Raises `errors.NotFound`, `errors.InUse`."""
        name = self.get(ref).name
        self.check_unused(name)
        return self._begin("kernel.delete", Made(name, _staging()))

    def check_unused(self, name: str) -> None:
        """Raises `errors.InUse` with the machines' names."""
        users = self._users(name)
        if users:
            raise errors.InUse(kind="kernel", name=name, users=", ".join(users))

    def expect(self, name: str) -> None:
        """Raises `errors.NotFound` when `ensure` is going to."""
        name = name or self.default()
        if name != DISTRIBUTION and self._catalogs.kernel(name) is None:
            self.get(name)

    async def ensure(self, name: str, report: Report) -> Kernel:
        """The kernel of that name; the default one and those of the catalogs are pulled when they are missing.

        Raises `errors.NotFound`.
        """
        name = name or self.default()
        self.expect(name)
        if not os.path.isdir(self.paths.kernel(name)):
            report.notice(f"kernel {name} is not here: pulling it")
            made = self._made(name, name)
            await self._sharing.wait(_subject(name), lambda: self._begin("kernel.pull", made), report)
        return self.get(name)

    def _begin(self, kind: str, made: Made) -> Operation:
        spec: Spec = msgspec.to_builtins(made)
        return self._engine.begin(kind, subject=made.name, subject_id=_subject(made.name), spec=spec)

    def _plan_make(self, spec: Spec) -> Sequence[Task]:
        made = msgspec.convert(spec, Made)
        if made.present:
            return [making.Present(made.name)]
        return [making.Assemble(self.paths, made, self.agent), making.Publish(self.paths, made)]

    def _plan_delete(self, spec: Spec) -> Sequence[Task]:
        return [making.Remove(self.paths, msgspec.convert(spec, Made), self.check_unused)]


def _listed(found: Listed, present: bool) -> CatalogEntry:
    entry = found.entry
    return CatalogEntry(
        name=found.name,
        noun="kernel",
        kind="bundle",
        description=entry.description,
        distribution=entry.distribution,
        architecture=entry.arch,
        size=entry.size if isinstance(entry, Bundle) else None,
        present=present,
        source=found.source,
    )


def _check(name: str) -> str:
    if not KERNEL_NAME.fullmatch(name):
        raise errors.InvalidName(name=name[:80])
    return name


def _subject(name: str) -> str:
    return f"kernel/{name}"


def _staging() -> str:
    return STAGING + secrets.token_hex(6)
