"""From a source to an ext4 file: the images' own view of the `banger.oci` mechanisms, with their progress reported.

A `Material` is filled by the source and read by the writer; it lives as long as one run of a change. What it names on
disk is in the shared cache of blobs or in the change's own staging directory.
"""

import asyncio
import contextlib
import hashlib
import os
import platform
import stat
from collections.abc import AsyncIterator, Callable, Sequence

from banger import errors, worker
from banger.api.image import ImageConfig, Step
from banger.api.operation import Progress
from banger.config.defaults import BUILT_IN
from banger.engine.change import Report
from banger.guest import assets
from banger.images.downloads import Downloads
from banger.log import printable
from banger.oci import builder, debian, transport
from banger.oci.build import BuildReport
from banger.oci.layer import LayerSource
from banger.oci.manifest import HistoryEntry
from banger.oci.progress import Notice

WRITER = 2
"""Grows when the same layers would be written as other bytes. The guest assets have a digest of their own."""

LEAST = BUILT_IN["disk_size"]
"""Of a file system whose size follows from its content: what machines have unless somebody says otherwise, so that no
guest has to grow it at its first start. It is sparse. No setting changes it: the same layers are the same bytes."""

STEPS, STEP_LENGTH = 256, 300
"""Most lines of a history that are kept, and of their characters."""

STAGES = {
    "fetch": "downloading",
    "read": "reading the layers",
    "write": "writing the file system",
}
"""The mechanisms' names of their stages, and ours."""


class Material:
    """Layers, oldest first, and what is known about them."""

    def __init__(self, downloads: Downloads) -> None:
        self.downloads = downloads
        self.layers: list[LayerSource] = []
        self.digest = ""
        self.architecture = architecture()
        self.config = ImageConfig()
        self.top: list[LayerSource] = []
        """Layers of our own, above the source's: the guest assets."""
        self.assets = ""
        """The digest of the guest assets."""
        self.steps: tuple[Step, ...] = ()
        self.own: list[str] = []
        """Archives that were made for this one image."""
        self.coming: asyncio.Task[None] | None = None
        """What brings the layers, while they are known and not all here."""
        self.staging = ""
        """Where they grow."""
        self.writer: worker.Worker | None = None
        """The process that will write the file system, begun while the layers are asked for."""
        self._lease: int | None = None

    async def keep(self, notice: Notice) -> None:
        """Keep the blobs in the cache until `release`; they are read long after they were fetched."""
        if self._lease is None:
            self._lease = await self.downloads.cache.lease(notice)

    def release(self) -> None:
        """The blobs of the cache are not needed any more."""
        if self._lease is not None:
            os.close(self._lease)
            self._lease = None

    async def dismiss(self) -> None:
        """End the writer: nothing is to be written."""
        writer, self.writer = self.writer, None
        if writer is not None:
            await writer.end()

    def remove(self) -> None:
        """Remove what nobody needs once the file system is written."""
        for path in self.own:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def architecture() -> str:
    """This host's, in the words of the OCI specifications (those of Go)."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


@contextlib.asynccontextmanager
async def arriving(material: Material, source: str, report: Report) -> AsyncIterator[None]:
    """Have the layers of a reference known when the body begins, and brought into the cache while it runs.

    Their writer is begun at once, and ends with the body at the latest. What goes wrong with the layers is raised by
    `arrived`, or at once where they are not known before.
    """
    known = asyncio.Event()

    def announce(image: transport.Fetched) -> None:
        _fill(material, image)
        known.set()

    coming = material.coming = asyncio.ensure_future(fetch(material, source, report, announce))
    coming.add_done_callback(lambda _: known.set())
    writer = material.writer = builder.begin()
    try:
        await known.wait()
        if coming.done():
            await arrived(material)
        yield
    finally:
        coming.cancel()  # once and by nobody else: a second time would cut short how it ends what it began
        await asyncio.gather(coming, writer.end(), return_exceptions=True)


async def arrived(material: Material) -> None:
    """Wait until the layers are here. Raises what kept them from coming."""
    coming, material.coming = material.coming, None
    if coming is not None:
        await asyncio.shield(coming)


async def fetch(
    material: Material, source: str, report: Report, announce: transport.Announce = transport.unannounced
) -> None:
    """Bring the layers of a reference into the cache of blobs, or find them there."""
    report.stage(STAGES["fetch"])
    await material.keep(report.notice)
    platform = ("linux", architecture())
    _fill(material, await material.downloads.fetch(source, platform, _teller(report), report.notice, announce))


def _fill(material: Material, found: transport.Fetched) -> None:
    """Note what an image of a registry consists of."""
    material.digest, material.staging = found.digest, found.staging
    material.architecture = found.config.architecture
    material.layers = [
        LayerSource(path=each.path, name=each.digest, digest=each.digest, size=each.size, diff_id=each.diff_id)
        for each in found.layers
    ]
    material.config = ImageConfig(
        entrypoint=list(found.config.entrypoint),
        cmd=list(found.config.cmd),
        env=[each for each in found.config.env if "=" in each and "\0" not in each],
        cwd=found.config.workdir,
        user=found.config.user,
    )
    material.steps = steps(found.config.history)


def steps(history: Sequence[HistoryEntry]) -> tuple[Step, ...]:
    """An image's own history, fit to be shown: its author wrote it."""
    kept = [Step(printable(each.created_by or "", STEP_LENGTH), bool(each.empty_layer)) for each in history[:STEPS]]
    left = len(history) - len(kept)
    return (*kept, Step(f"... and {left} more", True)) if left else tuple(kept)


async def install(
    material: Material, suite: str, packages: Sequence[str], mirror: str | None, directory: str, report: Report
) -> None:
    """Build an archive of the distribution's packages in ``directory``."""
    report.stage(f"installing the packages of {suite}")
    path = archive_path(directory)
    material.own.append(path)
    material.steps = (Step(f"suite {suite}"), *(Step(f"package {each}") for each in packages))
    await debian.build_rootfs_tar(suite, packages, path, mirror=mirror, progress=_teller(report))
    await archive(material, path, report)


def archive_path(directory: str) -> str:
    """Where the archive of an image that is made of packages is built."""
    return os.path.join(directory, "rootfs.tar")


async def archive(material: Material, path: str, report: Report) -> None:
    """An archive of a root file system as a single layer."""
    report.stage("reading the archive")
    material.digest, size = await asyncio.to_thread(_digest, path)
    material.steps = material.steps or (Step(f"archive {printable(path, STEP_LENGTH)}"),)
    material.layers = [LayerSource(path=path, name=os.path.basename(path), digest=material.digest, size=size)]


def directory(material: Material, path: str, without: Sequence[str], report: Report) -> None:
    """A plain directory of this host as the lowest layer; its digest is known when it has been written."""
    report.stage("reading the directory")
    material.steps = (Step(f"directory {printable(path, STEP_LENGTH)}"),)
    material.layers = [LayerSource(path=path, name=path, directory=True, without=tuple(without))]


def equip(material: Material, agent: str, directory: str) -> None:
    """Put the guest assets on top, as one more layer in ``directory``; ``agent`` is the path of the agent's binary."""
    layer, material.assets = assets_layer(agent, directory)
    material.own.append(layer.path)
    material.top = [layer]


def assets_layer(agent: str, directory: str) -> tuple[LayerSource, str]:
    """The guest assets as a layer in ``directory``, and their digest."""
    found = assets.load(agent)
    path = os.path.join(directory, "assets.tar")
    with open(path, "wb") as file:
        file.write(assets.layer(found.files))
    return LayerSource(path=path, name="banger's own files"), found.digest


async def refetch(material: Material, source: str, report: Report) -> None:
    """Bring the layers again, after one of them turned out to be damaged, if only while it came."""
    blobs = [(each.path, each.digest, each.size) for each in material.layers]
    if await asyncio.to_thread(transport.discard, blobs):
        report.notice("the cache is damaged; fetching again what is not sound")
    await fetch(material, source, report)


async def write(
    material: Material, output: str, size: int | None, report: Report, *, indexes: str, home: str
) -> BuildReport:
    """Write the file system, which will be found at ``home``; ``indexes`` tell which layers images here hold already.

    Without ``size`` it gets 1.5 times its content, and `LEAST` at least. Layers that are still coming are read as they
    come. Raises `errors.ImageTooSmall` when ``size`` does not hold the content, and what `arrived` does.
    """
    tell = _teller(report)
    known = material.layers
    coming = material.coming

    def progress(stage: str, done: int, total: int | None) -> None:
        if coming is None or coming.done():  # one thing at a time is told, and the layers come first
            tell(stage, done, total)

    async def seed() -> str:
        await arrived(material)
        if material.layers != known:  # what was announced is not what came
            raise errors.DamagedBlob(digest=material.digest)
        return material.digest

    if coming is None:
        report.stage(STAGES["read"])
    writer, material.writer = material.writer, None
    return await builder.build_in_child(
        [*known, *material.top],
        output,
        size=size,
        least=LEAST,
        seed=seed if coming is not None else material.digest,
        progress=progress,
        indexes=indexes,
        home=home,
        staging=material.staging,
        begun=writer,
    )


def _teller(report: Report) -> Callable[[str, int, int | None], None]:
    """The mechanisms' way to tell how far they are, as ours."""
    last = ""

    def tell(stage: str, done: int, total: int | None) -> None:
        nonlocal last
        if stage != last:
            last = stage
            report.stage(STAGES.get(stage, stage))
        report.progress(Progress(done=done, total=total) if done else None)

    return tell


def _digest(path: str) -> tuple[str, int]:
    """A file's digest and size. Raises `errors.SourceUnavailable` for what is no file with something in it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as fault:
        raise errors.SourceUnavailable(reference=path, reason=fault.strerror or str(fault)) from None
    with open(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise errors.SourceUnavailable(reference=path, reason="it is no file")
        if about.st_size == 0:
            raise errors.SourceUnavailable(reference=path, reason="it is empty")
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest(), about.st_size
