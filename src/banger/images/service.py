"""Images: list, pull, import, delete, and the one that a machine asks for.

An image is found by its name, by its id's first letters, or by the reference that it came from. Pulled under no name
of its own it is named by its canonical reference, which no catalog name can be: that always holds a slash or a colon.
"""

import asyncio
import contextlib
import os
import re
import secrets
from collections.abc import Callable, Sequence

import msgspec

from banger import errors
from banger.admission.judgement import Wish
from banger.admission.ledger import Admission
from banger.api.catalog import CatalogList
from banger.api.image import CacheUse, Image, ImageConfig, ImportImage, PullImage, RegisterImage
from banger.api.operation import Operation
from banger.catalog.reader import KERNEL_NAME, Catalogs
from banger.config.settings import Config
from banger.config.sizes import DISK_LEAST, DISK_LIMIT, format_size
from banger.disk import staging
from banger.engine.change import Kind, Recovery, Report, Spec, Task
from banger.engine.engine import Engine
from banger.engine.sharing import Sharing
from banger.images import choosing, claims, making, nature, receiving, registering, seeds
from banger.images.downloads import Downloads
from banger.images.making import STAGING, Removed, Wanted
from banger.images.pulling import Join, Prune
from banger.images.record import ImageRecord, Origin, rootfs_path, view
from banger.images.registering import Registered
from banger.images.seeds import Seeds
from banger.images.sources import Material
from banger.log import printable
from banger.oci import index, reference
from banger.paths import Paths
from banger.store.records import Records

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
Users = Callable[[str, str], list[str]]
"""Which machines need the image of an id and a name."""

PULL, IMPORT, DELETE = "image.pull", "image.import", "image.delete"
REGISTER, PROMOTE = "image.register", "image.promote"
PRUNE = "image.cache.prune"


class ImageService:
    """The images of one installation. ``agent`` is the path of the guest agent that goes into them."""

    def __init__(
        self, engine: Engine, records: Records[ImageRecord], paths: Paths, settings: Config, agent: str
    ) -> None:
        self.agent = agent
        self.admission = Admission(paths.state, settings, lambda subject: engine.under_way(subject) is not None)
        """Of all changes of this daemon."""
        self._engine = engine
        self._records = records
        self._paths = paths
        self._settings = settings
        self._catalogs = Catalogs(paths.catalogs)
        self._sharing = Sharing(engine)
        self._downloads = Downloads(paths.oci_cache)
        self.seeds = Seeds(paths, settings)
        self._sweepers: set[asyncio.Task[None]] = set()
        self._users: Users = lambda image_id, name: []
        for name in (PULL, IMPORT):
            engine.register(Kind(name, self._plan_make))
        for name in (REGISTER, PROMOTE):
            engine.register(Kind(name, self._plan_registered))
        engine.register(Kind(PRUNE, self._plan_prune, recovery=Recovery.RESUME))
        engine.register(Kind(DELETE, self._plan_delete, recovery=Recovery.RESUME, cancellable=False))

    def guard(self, users: Users) -> None:
        """``users`` tells which machines need the image of an id and a name; those are never deleted."""
        self._users = users

    def recover(self) -> None:
        """Remove the work in progress of a daemon that died, and what it had no time to sweep."""
        staging.sweep(self._paths.staging, STAGING)
        self._downloads.cache.sweep()
        index.sweep(self._paths.layer_indexes, os.path.exists)
        self._sweep()

    # -- looking ------------------------------------------------------------------------------------------------------

    def list(self) -> "list[Image]":
        return [view(each, self._paths) for each in self._records.list()]

    def show(self, ref: str) -> Image:
        return view(self.find(ref), self._paths, steps=True)

    def catalog(self) -> CatalogList:
        """What can be pulled by a name, and what is wrong with catalogs that were passed over."""
        present = {each.name for each in self._records.list()}
        entries = [choosing.listed(each, present) for each in self._catalogs.entries("image")]
        return CatalogList(entries=entries, faults=[each.message for each in self._catalogs.faults()])

    def find(self, ref: str) -> ImageRecord:
        """By name, id or source. Raises `errors.NotFound`, `errors.Ambiguous`."""
        try:
            return self._records.resolve(ref)
        except errors.NotFound:
            found = None if self._catalogs.image(ref) is not None else self._from(ref)
            if found is None:
                raise
            return found

    def _from(self, text: str) -> ImageRecord | None:
        """The image that was made from a reference."""
        with contextlib.suppress(errors.InvalidReference):
            source = str(reference.parse(text))
            return next((each for each in self._records.list() if each.source == source), None)
        return None

    def get(self, image_id: str) -> ImageRecord:
        """The image of a machine. Raises `errors.NotFound`."""
        record = self._records.by_id(image_id)
        if record is None:
            raise errors.NotFound(kind="image", name=image_id)
        return record

    def usable(self, image_id: str) -> ImageRecord:
        """The image of a machine that starts. Raises `errors.NotFound`, `errors.UnusableDisk`."""
        record = self.get(image_id)
        registering.check_unchanged(record)
        return record

    def rootfs(self, record: ImageRecord) -> str:
        """The path of the root file system, which is only ever read."""
        return rootfs_path(record, self._paths)

    async def work_seed(self, image_id: str) -> str:
        """The path of the file system that a machine's home of root begins as; made again when the key has changed.

        Whoever opens it may keep it open: it is only ever replaced. Raises `errors.NotFound`, `errors.UnusableDisk`.
        """
        return await self.seeds.current(image_id, self.rootfs(self.get(image_id)))

    async def seed_faults(self) -> dict[str, str]:
        """Images that can have no work seed, and why. Reads only, and only what has none yet."""
        found: dict[str, str] = {}
        for each in self._records.list():
            if seeds.noted(self._paths.image(each.id)) is None:
                fault = await seeds.fault(self.rootfs(each))
                found |= {each.name: fault} if fault else {}
        return found

    async def write_home(self, image_id: str, output: str, size: int) -> None:
        """Write the new file ``output`` as the seed would be if it had ``size`` bytes. Raises as `work_seed`."""
        await self.seeds.write(self.rootfs(self.get(image_id)), output, size)

    def config(self, image_id: str) -> ImageConfig:
        """How the image wants its commands to be run."""
        record = self._records.by_id(image_id)
        return record.config if record is not None else ImageConfig()

    async def brings(self, image: ImageRecord, names: Sequence[str]) -> bool:
        """Whether one of these absolute names is that of a program of the image's."""
        return await nature.brings(self.rootfs(image), names)

    def naming(self, kernel: str) -> Sequence[str]:
        """Names of the images whose machines are to boot a kernel."""
        return [each.name for each in self._records.list() if each.kernel == kernel]

    # -- changing -----------------------------------------------------------------------------------------------------

    async def pull(self, request: PullImage) -> Operation:
        """Make an image from a catalog name or a reference. One that is here stays as it is without ``force``.

        Raises `errors.InvalidReference`, `errors.InvalidName`, `errors.AlreadyExists`, `errors.ImageTooSmall`,
        `errors.UsageError`.
        """
        wanted = self._wanted(request)
        under_way = self._engine.under_way(_subject(wanted.name))
        if under_way is not None and under_way.kind == PULL:
            return self._begin(PULL, msgspec.structs.replace(wanted, joined=True))
        present = self._records.by_name(wanted.name)
        if present is not None and not request.force:
            if not _same(present, wanted):
                taken = errors.AlreadyExists(kind="image", name=wanted.name)
                taken.advise(f"it was made from something else ({printable(present.source, 200)}); --force replaces it")
                raise taken
            wanted = msgspec.structs.replace(wanted, present=True)
        return self._begin(PULL, wanted)

    async def import_archive(self, request: ImportImage) -> Operation:
        """Make an image from a flat archive of a root file system, or from a plain directory."""
        if not os.path.isabs(request.path):
            raise errors.UsageError(detail=f"{request.path!r} is not an absolute path")
        if request.directory and not os.path.isdir(request.path):
            raise errors.SourceUnavailable(reference=request.path, reason="there is no such directory")
        if not request.directory and not os.path.isfile(request.path):
            raise errors.SourceUnavailable(reference=request.path, reason="there is no such file")
        self._check_free(request.name)
        kind: Origin = "directory" if request.directory else "archive"
        return self._begin(IMPORT, self._new(_name(request.name), kind, request.path, request.size))

    async def register(self, request: RegisterImage) -> Operation:
        """Use a file where it is. Raises `errors.UsageError`, `errors.SourceUnavailable`, `errors.UnusableDisk`."""
        self._check_free(request.name)
        if request.kernel and not KERNEL_NAME.fullmatch(request.kernel):
            raise errors.InvalidName(name=request.kernel[:80])
        path = registering.real_path(request.path, self._paths)
        wanted = msgspec.structs.replace(self._new(request.name, "file", path, None), kernel=request.kernel)
        return self._begin_registered(
            REGISTER, Registered(wanted=wanted, root_owned=request.root_owned, assets=request.assets)
        )

    async def promote(self, ref: str) -> Operation:
        """Make a managed image of a registered one. Raises `errors.NotFound`, `errors.UsageError`."""
        record = self.find(ref)
        if not record.path:
            raise errors.UsageError(detail=f"{record.name} is a managed image already")
        wanted = self._new(record.name, "file", record.path, None)
        return self._begin_registered(PROMOTE, Registered(wanted=wanted, promoted=record.id))

    def cache(self) -> CacheUse:
        """What the downloads take."""
        used = self._downloads.cache.used()
        return CacheUse(blobs=used.blobs, bytes=used.size)

    async def prune_cache(self) -> Operation:
        """Remove what was downloaded, once no pull needs it. One that is under way already is shared."""
        under_way = self._engine.under_way(PRUNE)
        return under_way or self._engine.begin(PRUNE, subject="the cache of downloads", subject_id=PRUNE, spec={})

    async def delete(self, ref: str) -> Operation:
        """Raises `errors.NotFound`, `errors.InUse`."""
        record = self.find(ref)
        return self._remove(record)

    def _remove(self, record: ImageRecord) -> Operation:
        self.check_unused(record)
        spec: Spec = msgspec.to_builtins(Removed(record.id, record.name))
        return self._engine.begin(DELETE, subject=record.name, subject_id=_subject(record.name), spec=spec)

    def _sweep(self) -> None:
        """Delete the images whose name another has taken over, once no machine needs them."""
        for record in self._records.list():
            if record.name == making.superseded(record):
                with contextlib.suppress(errors.InUse, errors.Busy, errors.Interrupted):
                    self._remove(record)

    async def _sweep_after(self, operation: str) -> None:
        with contextlib.suppress(errors.BangerError):
            await self._engine.join(operation)
        self._sweep()

    def check_unused(self, record: ImageRecord) -> None:
        """Raises `errors.InUse` with the machines' names."""
        users = self._users(record.id, record.name)
        if users:
            raise errors.InUse(kind="image", name=record.name, users=", ".join(users))

    def expect(self, ref: str) -> ImageRecord | None:
        """The image, or None when `ensure` would pull it. Raises `errors.InvalidReference`, `errors.Ambiguous`."""
        try:
            return self.find(ref)
        except errors.NotFound:
            self._wanted(PullImage(reference=ref))
            return None

    async def ensure(self, ref: str, report: Report) -> ImageRecord:
        """The image; pulled when it is missing, together with all others who wait for it."""
        record = self.expect(ref)
        if record is not None:
            return record
        wanted = self._wanted(PullImage(reference=ref))
        report.notice(f"image {wanted.name} is not here: pulling it")
        await self._pull_together(wanted, report)
        return self.find(wanted.name)

    async def _pull_together(self, wanted: Wanted, report: Report) -> None:
        """Pull with all others who want that name; what has been downloaded outlives each one's giving up."""
        async with self._downloads.wanted(wanted.source):
            await self._sharing.wait(_subject(wanted.name), lambda: self._begin(PULL, wanted), report)

    # -- what is asked for --------------------------------------------------------------------------------------------

    def _wanted(self, request: PullImage) -> Wanted:
        entry = self._catalogs.image(request.reference)
        if entry is not None:
            wanted = self._new(_name(request.name or request.reference), "oci", "", request.size)
            return choosing.complete(wanted, request.reference, entry, self._settings.debian_mirror)
        choosing.check_faults(self._catalogs, request.reference)
        source = str(reference.parse(request.reference))
        name = _name(request.name) if request.name else source
        return self._new(name, "oci", source, request.size)

    def _new(self, name: str, kind: Origin, source: str, size: int | None) -> Wanted:
        """Raises `errors.ImageTooSmall`, `errors.UsageError` for a size that no image has, before it is begun."""
        if size is not None and size < DISK_LEAST:
            raise errors.ImageTooSmall(size=format_size(size), needed=format_size(DISK_LEAST))
        if size is not None and size > DISK_LIMIT:
            raise errors.UsageError(detail=f"an image has at most {format_size(DISK_LIMIT)}, not {format_size(size)}")
        return Wanted(id=secrets.token_hex(8), name=name, kind=kind, source=source, size=size or 0)

    def _check_free(self, name: str) -> None:
        if self._records.by_name(_name(name)) is not None:
            raise errors.AlreadyExists(kind="image", name=name)

    def _begin_registered(self, kind: str, registered: Registered) -> Operation:
        return self._begin(kind, registered.wanted, msgspec.to_builtins(registered))

    # -- for rooms that make images -----------------------------------------------------------------------------------

    def propose(self, name: str, kind: Origin, source: str, size: int | None) -> Wanted:
        """What a change of another room that makes an image begins from.

        Raises `errors.InvalidName`, `errors.ImageTooSmall`, `errors.UsageError`.
        """
        return self._new(_name(name), kind, source, size)

    def material(self) -> Material:
        """What such a change collects its content in."""
        return Material(self._downloads)

    @staticmethod
    def subject(name: str) -> str:
        """The engine's subject of every change that makes or removes the image of a name."""
        return _subject(name)

    def begin(self, kind: str, wanted: Wanted, spec: Spec, machine: Wish | None = None) -> Operation:
        """Start a change of another room that makes an image, with a ``machine`` of its own that is judged with it.

        Raises `errors.Busy`, and what `judgement.judge` raises.
        """
        return self._begin(kind, wanted, spec, machine)

    def _begin(self, kind: str, wanted: Wanted, spec: Spec | None = None, machine: Wish | None = None) -> Operation:
        spec = msgspec.to_builtins(wanted) if spec is None else spec
        subject = f"{_subject(wanted.name)}#{wanted.id}" if wanted.joined else _subject(wanted.name)
        wish = claims.wish(wanted, subject, self._paths, machine)
        with self.admission.admitted(wish) as notices:
            operation = self._engine.begin(kind, subject=wanted.name, subject_id=subject, spec=spec, notices=notices)
        sweeper = asyncio.get_running_loop().create_task(self._sweep_after(operation.id))
        self._sweepers.add(sweeper)  # it ends with the engine at the latest
        sweeper.add_done_callback(self._sweepers.discard)
        return operation

    def _plan_make(self, spec: Spec) -> Sequence[Task]:
        wanted = msgspec.convert(spec, Wanted)
        if wanted.joined:
            return [Join(wanted, self._records, self._pull_together)]
        if wanted.bundle is not None and not wanted.present:
            return receiving.plan(wanted, self._records, self._paths, self.check_unused, self.seeds)
        return making.plan(
            wanted, self._records, self._paths, self.agent, self.check_unused, self._downloads, self.seeds
        )

    def _plan_prune(self, spec: Spec) -> Sequence[Task]:
        return [Prune(self._downloads.cache)]

    def _plan_registered(self, spec: Spec) -> Sequence[Task]:
        registered = msgspec.convert(spec, Registered)
        return registering.plan(registered, self._records, self._paths, self.agent, self.check_unused, self.seeds)

    def _plan_delete(self, spec: Spec) -> Sequence[Task]:
        removed = msgspec.convert(spec, Removed)
        return [
            making.RemoveRow(removed, self._records, self.check_unused),
            making.RemoveFiles(removed.id, self._paths),
        ]


def _same(present: ImageRecord, wanted: Wanted) -> bool:
    """Whether an image is what a pull would make: a bundle has its digest, all else the place that it comes from."""
    if wanted.bundle is not None:
        return present.digest == f"sha256:{wanted.bundle.sha256}"
    return present.source == wanted.source


def _name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise errors.InvalidName(name=name[:80])
    return name


def _subject(name: str) -> str:
    return f"image/{name}"
