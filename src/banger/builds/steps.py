"""Tasks that every build has: its place in the staging area, the look for an image that was built alike, the record."""

import asyncio
import os
import shutil
from collections.abc import Mapping

from msgspec.structs import replace

from banger import errors
from banger.builds import recipe
from banger.builds.work import Work
from banger.engine.change import Report, Resource, Task
from banger.images import making
from banger.images.record import ROOTFS, ImageRecord
from banger.paths import Paths
from banger.store.records import Records


class Step:
    """A task that leaves nothing behind, unless a subclass says otherwise."""

    name: str
    resource: Resource | None = None
    recorded: Mapping[str, object] = {}

    def __init__(self, work: Work) -> None:
        self.work = work

    async def do(self, report: Report) -> None:
        raise NotImplementedError

    async def undo(self, report: Report) -> None:
        """Nothing was made."""


class Stage(Step):
    """The directory that becomes the image, and the recipe's files beside it; both are removed with it."""

    name = "stage"

    def __init__(self, work: Work, paths: Paths) -> None:
        super().__init__(work)
        self.directory = os.path.join(paths.staging, making.STAGING + work.image.id)
        self.resource = making.Made("directory", self.directory)

    async def do(self, report: Report) -> None:
        try:
            os.makedirs(self.directory, mode=0o700)
            self.work.transcript.begin()
        except OSError as error:
            raise errors.from_os(error, self.directory) from error

    async def undo(self, report: Report) -> None:
        for each in (self.directory, os.path.dirname(self.work.files)):
            await asyncio.to_thread(shutil.rmtree, each, ignore_errors=True)


class LookUp(Step):
    """Whether an image was built alike: then its file is shared."""

    name = "look-up"

    def __init__(self, work: Work, records: Records[ImageRecord], force: bool) -> None:
        super().__init__(work)
        self.records = records
        self.force = force

    async def do(self, report: Report) -> None:
        work = self.work
        if self.force:
            return
        key = work.key
        work.twin = next((each for each in self.records.list() if each.key == key), None)
        if work.twin is not None:
            report.notice(f"the image {work.twin.name} was built alike: its file is shared (--force builds anew)")


class Unless(Step):
    """Another room's task, left out when there is a twin. Its undoing never is: who knows what was done."""

    def __init__(self, work: Work, inner: Task) -> None:
        super().__init__(work)
        self.inner = inner
        self.name = f"machine-{inner.name}"
        self.resource = inner.resource

    async def do(self, report: Report) -> None:
        if self.work.twin is None:
            self.inner.recorded = self.recorded
            await self.inner.do(report)

    async def undo(self, report: Report) -> None:
        self.inner.recorded = self.recorded
        await self.inner.undo(report)


class Always(Unless):
    """Another room's task under a name of ours."""

    async def do(self, report: Report) -> None:
        self.inner.recorded = self.recorded
        await self.inner.do(report)


class Assemble(making.Build):
    """The record beside the root file system, which `_written` of a subclass makes unless there is a twin."""

    def __init__(self, work: Work, records: Records[ImageRecord], paths: Paths) -> None:
        super().__init__(work.image, records, paths, work.material, work.agent)
        self.work = work

    async def do(self, report: Report) -> None:
        work = self.work
        base = work.base.config if work.base is not None else work.material.config
        work.material.config = recipe.config(base, work.built.config)
        work.material.steps, self.key = work.steps, work.key
        await super().do(report)
        await asyncio.to_thread(shutil.rmtree, os.path.dirname(work.files), ignore_errors=True)

    def _twin(self) -> ImageRecord | None:
        twin = self.work.twin
        if twin is not None and not os.path.exists(os.path.join(self.paths.image(twin.id), ROOTFS)):
            raise self.work.failed(f"the image {twin.name}, whose file was to be shared, was deleted meanwhile")
        return twin

    def _own(self, twin: ImageRecord) -> ImageRecord:
        return replace(super()._own(twin), architecture=twin.architecture)
