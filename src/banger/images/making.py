"""Tasks that make and remove an image.

A root file system is written in the staging area, together with the record; one rename makes it an image's directory,
and only then does the row appear. An image that takes the name of another renames that one to ``NAME@ID`` first.
"""

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from banger import errors
from banger.bundles.receive import Source
from banger.disk.fresh import sync
from banger.engine.change import Report, Resource, Task
from banger.images import sources
from banger.images.downloads import Downloads
from banger.images.record import RECORD, ROOTFS, ImageRecord, Origin
from banger.images.seeds import Seeds
from banger.oci import debian, index
from banger.paths import Paths
from banger.store.records import Records

STAGING = "image-"

Unused = Callable[[ImageRecord], None]
"""Raises `errors.InUse` for an image that machines need."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Spec of the changes that make an image: everything that was decided beforehand."""

    id: str
    name: str
    kind: Origin
    source: str
    size: int = 0
    """Of the file system; 0 stands for one that follows from the content."""
    suite: str = ""
    packages: tuple[str, ...] = ()
    mirror: str | None = None
    bundle: Source | None = None
    """What a bundle is fetched from."""
    kernel: str = ""
    """What the image's machines are to boot."""
    present: bool = False
    """It is here already and shall stay as it is."""
    joined: bool = False
    """Another change is pulling it."""


class Removed(msgspec.Struct, frozen=True):
    """Spec of ``image.delete``."""

    id: str
    name: str


class Made:
    """A `Resource` in words."""

    def __init__(self, kind: str, identity: str) -> None:
        self.kind = kind
        self.identity = identity


class Present:
    """Nothing to do, said aloud."""

    name = "present"
    resource: Resource | None = None
    recorded: Mapping[str, object] = {}

    def __init__(self, wanted: Wanted, records: Records[ImageRecord], paths: Paths) -> None:
        self.wanted = wanted
        self.records = records
        self.paths = paths
        self.staging = os.path.join(paths.staging, STAGING + wanted.id)
        self.directory = paths.image(wanted.id)

    async def do(self, report: Report) -> None:
        report.notice(f"image {self.wanted.name} is here already; --force makes it again")

    async def undo(self, report: Report) -> None:
        """Nothing was made."""


class Fetch(Present):
    """What the file system is made of, but for layers that are fetched: those are read as they come, by `Build`."""

    name = "fetch"

    def __init__(
        self, wanted: Wanted, records: Records[ImageRecord], paths: Paths, material: sources.Material, agent: str
    ) -> None:
        super().__init__(wanted, records, paths)
        self.material = material
        self.agent = agent
        self.resource = Made("directory", self.staging)

    async def do(self, report: Report) -> None:
        wanted = self.wanted
        try:
            os.makedirs(self.staging, mode=0o700)
            if wanted.kind == "debian":
                await sources.install(self.material, wanted.suite, wanted.packages, wanted.mirror, self.staging, report)
            elif wanted.kind == "directory":
                own = (self.paths.state, self.paths.cache, self.paths.runtime)
                sources.directory(self.material, wanted.source, own, report)
            elif wanted.kind == "archive":
                await sources.archive(self.material, wanted.source, report)
            await asyncio.to_thread(sources.equip, self.material, self.agent, self.staging)
        except BaseException as error:
            self.material.release()
            if isinstance(error, OSError):
                raise errors.from_os(error, self.staging) from error
            raise

    async def undo(self, report: Report) -> None:
        self.material.release()
        if self.wanted.kind == "debian":
            await debian.discard(sources.archive_path(self.staging))
        await asyncio.to_thread(shutil.rmtree, self.staging, ignore_errors=True)


class Build(Fetch):
    """The root file system and the record, in the staging area. Undone by `Fetch`, whose directory it is in."""

    name = "build"

    key = ""

    async def do(self, report: Report) -> None:
        rootfs = os.path.join(self.staging, ROOTFS)
        try:
            async with self._layers(report):
                record = await self._linked(rootfs, report) or await self._written(rootfs, report)
            os.chmod(rootfs, 0o644)  # monitors that run as other users read it
            await keep(self.staging, record, rootfs)
            await asyncio.to_thread(self.material.remove)
        except OSError as error:
            raise errors.from_os(error, self.staging) from error
        finally:
            self.material.release()

    async def undo(self, report: Report) -> None:
        """`Fetch` removes the directory."""

    def _layers(self, report: Report) -> contextlib.AbstractAsyncContextManager[None]:
        """The layers, known at least."""
        if self.wanted.kind != "oci":
            return contextlib.nullcontext()
        return sources.arriving(self.material, self.wanted.source, report)

    async def _linked(self, rootfs: str, report: Report) -> ImageRecord | None:
        """The file of a twin, if there is one when the layers are here."""
        if self._twin() is None:
            return None
        await self.material.dismiss()
        await sources.arrived(self.material)
        twin = self._twin()
        if twin is None:
            return None
        report.stage("taking the same content from the image that has it")
        os.link(os.path.join(self.paths.image(twin.id), ROOTFS), rootfs)
        return self._own(twin)

    def _twin(self) -> ImageRecord | None:
        """An image of the same content and size, written by the same code: its file can be shared."""
        material = self.material
        same = (material.digest, sources.WRITER, material.assets, self.wanted.size)
        for each in self.records.list():
            if (each.digest, each.writer, each.assets, 0 if each.fitted else each.size) == same:
                return each
        return None

    async def _written(self, rootfs: str, report: Report) -> ImageRecord:
        wanted, material = self.wanted, self.material
        places = {"indexes": self.paths.layer_indexes, "home": os.path.join(self.directory, ROOTFS)}
        try:
            built = await sources.write(material, rootfs, wanted.size or None, report, **places)
        except errors.DamagedBlob:
            if wanted.kind != "oci":  # it is not ours to fetch again, nor to remove
                raise errors.SourceUnavailable(reference=wanted.source, reason="it changed while it was read") from None
            await sources.refetch(material, wanted.source, report)
            built = await sources.write(material, rootfs, wanted.size or None, report, **places)
        if built.skipped and wanted.kind == "directory":
            report.notice(f"left out: {built.skipped} devices, sockets, fifos and mounted file systems")
        return self._record(material.digest or built.digest, built.init, built.size)

    def _record(self, digest: str, init: str | None, size: int) -> ImageRecord:
        """What is on record of a file system that was made here."""
        wanted, material = self.wanted, self.material
        return ImageRecord(
            id=wanted.id,
            name=wanted.name,
            kind=wanted.kind,
            source=wanted.source,
            digest=digest,
            writer=sources.WRITER,
            assets=material.assets,
            architecture=material.architecture,
            init=init,
            config=material.config,
            kernel=wanted.kernel,
            steps=material.steps,
            size=size,
            fitted=not wanted.size,
            created=time.time(),
            key=self.key,
        )

    def _own(self, twin: ImageRecord) -> ImageRecord:
        wanted = self.wanted
        return msgspec.structs.replace(
            twin, id=wanted.id, name=wanted.name, kind=wanted.kind, source=wanted.source, kernel=wanted.kernel,
            config=self.material.config, steps=self.material.steps, key=self.key, created=time.time(),
        )  # fmt: skip


class Seed(Present):
    """The work seed of a root file system, in the staging area. Undone with that by the task that made it."""

    name = "seed"

    def __init__(
        self, wanted: Wanted, records: Records[ImageRecord], paths: Paths, seeds: Seeds, rootfs: str = ""
    ) -> None:
        super().__init__(wanted, records, paths)
        self.seeds = seeds
        self.rootfs = rootfs or os.path.join(self.staging, ROOTFS)

    async def do(self, report: Report) -> None:
        report.stage("making the seed of root's home")
        try:
            await self.seeds.make(self.rootfs, self.staging)
        except errors.UnusableDisk as fault:
            report.notice(f"there is no work seed: {fault}")
        except OSError as error:
            raise errors.from_os(error, self.staging) from error

    async def undo(self, report: Report) -> None:
        """The staging area goes as a whole."""


class Publish(Present):
    """The directory at its place, by one rename."""

    name = "publish"

    def __init__(self, wanted: Wanted, records: Records[ImageRecord], paths: Paths) -> None:
        super().__init__(wanted, records, paths)
        self.resource = Made("directory", self.directory)

    async def do(self, report: Report) -> None:
        report.stage("publishing")
        os.makedirs(self.paths.images, exist_ok=True)
        os.chmod(self.staging, 0o711)  # noqa: S103 - monitors that run as other users read these files
        os.rename(self.staging, self.directory)
        await asyncio.to_thread(sync, self.paths.images)  # the row that follows promises the directory

    async def undo(self, report: Report) -> None:
        """Out of sight at once; `Fetch` removes what is in the staging area."""
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.directory, self.staging)


class Enter(Present):
    """The row. An older image of the name is renamed; it is removed later, when no machine needs it."""

    name = "row"

    def __init__(self, wanted: Wanted, records: Records[ImageRecord], paths: Paths, unused: Unused) -> None:
        super().__init__(wanted, records, paths)
        self.unused = unused
        self.resource = Made("row", f"image {wanted.id}")

    async def do(self, report: Report) -> None:
        with open(os.path.join(self.directory, RECORD), "rb") as file:
            record = msgspec.json.decode(file.read(), type=ImageRecord)
        older = self.records.by_name(record.name)
        if older is not None:
            report.record(older=older.id)
            kept = msgspec.structs.replace(older, name=superseded(older))
            try:
                self.unused(older)
            except errors.InUse:
                report.notice(f"the earlier image is kept as {kept.name} for the machines that use it")
            self.records.replace(kept)
        self.records.insert(record)

    async def undo(self, report: Report) -> None:
        self.records.delete(self.wanted.id)
        older = self.records.by_id(str(self.recorded.get("older", "")))
        if older is not None:
            self.records.replace(msgspec.structs.replace(older, name=self.wanted.name))


class RemoveRow:
    """The row, in one step with the look whether a machine uses the image."""

    name = "row"
    resource: Resource | None = None
    recorded: Mapping[str, object] = {}

    def __init__(self, removed: Removed, records: Records[ImageRecord], unused: Callable[[ImageRecord], None]) -> None:
        self.removed = removed
        self.records = records
        self.unused = unused

    async def do(self, report: Report) -> None:
        record = self.records.by_id(self.removed.id)
        if record is not None:
            self.unused(record)
            self.records.delete(record.id)

    async def undo(self, report: Report) -> None:
        """Either nothing was done, or the image is gone."""


class RemoveFiles:
    """The directory, out of sight at once, then removed."""

    name = "files"
    recorded: Mapping[str, object] = {}

    def __init__(self, image_id: str, paths: Paths) -> None:
        self.directory = paths.image(image_id)
        self.indexes = paths.layer_indexes
        self.aside = os.path.join(paths.staging, f"{STAGING}{image_id}-gone")
        self.resource: Resource | None = Made("directory", self.directory)

    async def do(self, report: Report) -> None:
        report.stage("removing the files")
        os.makedirs(os.path.dirname(self.aside), exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.directory, self.aside)
        await asyncio.to_thread(shutil.rmtree, self.aside, ignore_errors=True)
        await asyncio.to_thread(index.sweep, self.indexes, os.path.exists)

    async def undo(self, report: Report) -> None:
        """There is no way back."""


def superseded(record: ImageRecord) -> str:
    """The name of an image whose own name was taken over by another."""
    return record.name if record.name.endswith(f"@{record.id}") else f"{record.name}@{record.id}"


def plan(
    wanted: Wanted,
    records: Records[ImageRecord],
    paths: Paths,
    agent: str,
    unused: Unused,
    downloads: Downloads,
    seeds: Seeds,
) -> Sequence[Task]:
    """The tasks that make an image. ``agent`` is the path of the guest agent that goes into it."""
    if wanted.present:
        return [Present(wanted, records, paths)]
    material = sources.Material(downloads)
    return [
        Fetch(wanted, records, paths, material, agent),
        Build(wanted, records, paths, material, agent),
        Seed(wanted, records, paths, seeds),
        Publish(wanted, records, paths),
        Enter(wanted, records, paths, unused),
    ]


async def keep(directory: str, record: ImageRecord, *others: str) -> None:
    """Write the record into ``directory``, and make it and ``others`` durable: what the row will promise must survive
    a power cut."""
    path = os.path.join(directory, RECORD)
    with open(path, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(record)))
    await asyncio.to_thread(sync, path, *others, directory)
