"""From the disk of a machine that was powered off to an image's root file system."""

import asyncio
import hashlib
import os

from msgspec.structs import replace

from banger.builds.steps import Assemble, Step
from banger.builds.work import Work
from banger.disk import flatten
from banger.engine.change import Report
from banger.images import making
from banger.images.record import ROOTFS, ImageRecord
from banger.paths import Paths
from banger.vms.workers import Workers

PIECE = 1 << 20


class Flatten(Step):
    """The file system in the staging area, checked before anybody can find it."""

    name = "flatten"

    def __init__(self, work: Work, workers: Workers, vm_id: str, paths: Paths) -> None:
        super().__init__(work)
        self.workers = workers
        self.vm_id = vm_id
        self.path = os.path.join(paths.staging, making.STAGING + work.image.id, ROOTFS)

    async def do(self, report: Report) -> None:
        work = self.work
        if work.twin is not None:
            return
        disk = self.workers.disk(self.vm_id)
        report.stage("copying the machine's disk")
        await flatten.flatten(disk.path, disk.backing, self.path, disk.size)
        report.stage("checking the file system")
        await flatten.repair(self.path)
        report.stage("reading what was built")
        work.material.digest = await asyncio.to_thread(digest, self.path)

    async def undo(self, report: Report) -> None:
        """`Stage` removes the directory."""


class TakeOver(Assemble):
    """The record of the file system that is there."""

    async def _written(self, rootfs: str, report: Report) -> ImageRecord:
        work = self.work
        assert work.base is not None
        record = self._record(work.material.digest, work.init, os.path.getsize(rootfs))
        return replace(record, architecture=work.base.architecture, kernel=work.base.kernel)


def digest(path: str) -> str:
    """Of a sparse file: its size, and each stretch of data with its offset. Holes are not read."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        found.update(size.to_bytes(8, "big"))
        end = 0
        while (start := _next_data(file.fileno(), end)) < size:
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            found.update(start.to_bytes(8, "big") + end.to_bytes(8, "big"))
            file.seek(start)
            for _ in range(0, end - start, PIECE):
                found.update(file.read(min(PIECE, end - file.tell())))
    return "sha256:" + found.hexdigest()


def _next_data(descriptor: int, offset: int) -> int:
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError:  # ENXIO: nothing but a hole from here on
        return os.fstat(descriptor).st_size
