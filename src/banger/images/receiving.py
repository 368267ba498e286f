"""Tasks that make an image of a bundle.

The bundle is fetched, checked and unpacked into the staging area by a process of its own; what it is, is then read from
the file system itself. The rest is as for every image: one rename, then the row.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Sequence

import msgspec

from banger import errors
from banger.api.image import Step
from banger.api.operation import Progress
from banger.bundles.manifest import Manifest
from banger.bundles.receive import receive
from banger.catalog.reader import KERNEL_NAME
from banger.engine.change import Report, Task
from banger.images import making, nature, sources
from banger.images.making import Enter, Made, Present, Publish, Seed, Unused, Wanted
from banger.images.record import ROOTFS, ImageRecord
from banger.images.seeds import Seeds
from banger.log import printable
from banger.paths import Paths
from banger.store.records import Records

WRITER = 0
"""Of file systems that banger has not written."""


class Arrived:
    """What `Receive` hands to `Examine`: the manifest, or the image that has the same content."""

    def __init__(self) -> None:
        self.manifest: Manifest | None = None
        self.twin: ImageRecord | None = None


class Receive(Present):
    """The root file system, in the staging area."""

    name = "fetch"

    def __init__(self, wanted: Wanted, records: Records[ImageRecord], paths: Paths, arrived: Arrived) -> None:
        super().__init__(wanted, records, paths)
        self.arrived = arrived
        self.resource = Made("directory", self.staging)

    async def do(self, report: Report) -> None:
        source = self.wanted.bundle
        assert source is not None
        try:
            os.makedirs(self.staging, mode=0o700)
            self.arrived.twin = self._twin(f"sha256:{source.sha256}")
            if self.arrived.twin is not None:
                report.stage("taking the same content from the image that has it")
                os.link(
                    os.path.join(self.paths.image(self.arrived.twin.id), ROOTFS), os.path.join(self.staging, ROOTFS)
                )
                return
            report.stage("downloading")
            self.arrived.manifest = await receive(
                source, self.staging, "image", lambda done: report.progress(Progress(done=done, total=source.size))
            )
            report.progress(None)
        except OSError as error:
            raise errors.from_os(error, self.staging) from error

    def _twin(self, digest: str) -> ImageRecord | None:
        same = (each for each in self.records.list() if each.kind == "bundle" and each.digest == digest)
        return next((each for each in same if not each.path), None)

    async def undo(self, report: Report) -> None:
        await asyncio.to_thread(shutil.rmtree, self.staging, ignore_errors=True)


class Examine(Present):
    """The record, beside the root file system. Undone by `Receive`, whose directory it is in."""

    name = "examine"

    def __init__(self, wanted: Wanted, records: Records[ImageRecord], paths: Paths, arrived: Arrived) -> None:
        super().__init__(wanted, records, paths)
        self.arrived = arrived

    async def do(self, report: Report) -> None:
        report.stage("examining the file system")
        rootfs = os.path.join(self.staging, ROOTFS)
        try:
            record = self._own(self.arrived.twin) if self.arrived.twin is not None else await self._made(rootfs)
            os.chmod(rootfs, 0o644)  # monitors that run as other users read it
            await making.keep(self.staging, record, rootfs)
        except OSError as error:
            raise errors.from_os(error, self.staging) from error

    async def _made(self, rootfs: str) -> ImageRecord:
        wanted, manifest = self.wanted, self.arrived.manifest
        assert wanted.bundle is not None and manifest is not None
        if manifest.arch != sources.architecture():
            raise errors.WrongPlatform(reference=wanted.source, found=manifest.arch, wanted=sources.architecture())
        found = await nature.examine(rootfs)
        words = " ".join(filter(None, (manifest.name, manifest.distro, manifest.description)))
        return ImageRecord(
            id=wanted.id,
            name=wanted.name,
            kind="bundle",
            source=wanted.source,
            digest=f"sha256:{wanted.bundle.sha256}",
            writer=WRITER,
            assets=manifest.assets,
            architecture=manifest.arch,
            init=found.init,
            kernel=wanted.kernel or _kernel(manifest),
            size=os.path.getsize(rootfs),
            created=time.time(),
            steps=(Step(f"bundle {printable(wanted.source, 200)}"), Step(printable(words, sources.STEP_LENGTH), True)),
        )

    def _own(self, twin: ImageRecord) -> ImageRecord:
        wanted = self.wanted
        return msgspec.structs.replace(
            twin, id=wanted.id, name=wanted.name, source=wanted.source, kernel=wanted.kernel or twin.kernel,
            created=time.time(),
        )  # fmt: skip


def _kernel(manifest: Manifest) -> str:
    """The kernel that a manifest asks for, when that can be a kernel's name."""
    return manifest.kernel_ref if KERNEL_NAME.fullmatch(manifest.kernel_ref) else ""


def plan(wanted: Wanted, records: Records[ImageRecord], paths: Paths, unused: Unused, seeds: Seeds) -> Sequence[Task]:
    """The tasks that make an image of a bundle."""
    arrived = Arrived()
    return [
        Receive(wanted, records, paths, arrived),
        Examine(wanted, records, paths, arrived),
        Seed(wanted, records, paths, seeds),
        Publish(wanted, records, paths),
        Enter(wanted, records, paths, unused),
    ]
