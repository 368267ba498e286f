"""Tasks that make, replace and remove a kernel's directory.

The files are assembled in the staging area and published by renames on one file system. A replaced directory waits
beside the staged one until the new one is in place, so that going back is a rename too.
"""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Callable, Mapping

import msgspec

from banger import errors
from banger.api.operation import Progress
from banger.bundles.receive import Source, receive
from banger.disk.fresh import sync
from banger.engine.change import Report, Resource
from banger.kernels import kernel as kernels
from banger.paths import Paths


class Made(msgspec.Struct, frozen=True):
    """Spec of every change of a kernel.

    ``path`` is what is imported, ``bundle`` what is fetched; without either it is the distribution's package.
    """

    name: str
    staging: str
    path: str | None = None
    bundle: Source | None = None
    present: bool = False
    """It is here already and shall stay as it is."""


class Directory:
    """A `Resource`: a directory of ours."""

    kind = "directory"

    def __init__(self, path: str) -> None:
        self.identity = path


class Present:
    """Nothing to do, said aloud."""

    name = "present"
    resource: Resource | None = None
    recorded: Mapping[str, object] = {}

    def __init__(self, kernel: str) -> None:
        self.kernel = kernel

    async def do(self, report: Report) -> None:
        report.notice(f"kernel {self.kernel} is here already; --force makes it again")

    async def undo(self, report: Report) -> None:
        """Nothing was made."""


class Assemble(Present):
    """All files of the kernel, in the staging area."""

    name = "assemble"

    def __init__(self, paths: Paths, made: Made, agent: str) -> None:
        super().__init__(made.name)
        self.made = made
        self.agent = agent
        self.staging = os.path.join(paths.staging, made.staging)
        self.received = self.staging + "-bundle"
        self.resource = Directory(self.staging)

    async def do(self, report: Report) -> None:
        try:
            os.makedirs(self.staging)
            os.chmod(self.staging, 0o711)  # noqa: S103 - monitors that run as other users read these files
            if self.made.bundle is not None:
                await self._receive(self.made.bundle, report)
            elif self.made.path is None:
                await kernels.pull(self.staging, self.agent, report.stage, self.made.name)
            else:
                await kernels.import_directory(self.made.path, self.staging, self.made.name, self.agent, report.stage)
            files = [os.path.join(self.staging, name) for name in os.listdir(self.staging)]
            for path in files:
                os.chmod(path, 0o644)
            await asyncio.to_thread(sync, *files, self.staging)  # there is no row: the name is the promise
        except OSError as error:
            raise errors.from_os(error, self.staging) from error

    async def _receive(self, bundle: Source, report: Report) -> None:
        os.makedirs(self.received)
        report.stage("downloading")
        await receive(
            bundle, self.received, "kernel", lambda done: report.progress(Progress(done=done, total=bundle.size))
        )
        report.progress(None)
        await kernels.import_directory(
            self.received, self.staging, self.made.name, self.agent, report.stage, origin=bundle.url
        )
        await asyncio.to_thread(shutil.rmtree, self.received)

    async def undo(self, report: Report) -> None:
        for directory in (self.staging, self.received):
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)


class Publish(Present):
    """The directory under its name."""

    name = "publish"

    def __init__(self, paths: Paths, made: Made) -> None:
        super().__init__(made.name)
        self.made = made
        self.staging = os.path.join(paths.staging, made.staging)
        self.replaced = self.staging + "-replaced"
        self.target = paths.kernel(made.name)
        self.resource = Directory(self.target)

    async def do(self, report: Report) -> None:
        report.stage("publishing")
        os.makedirs(os.path.dirname(self.target), exist_ok=True)
        present = os.path.isdir(self.target)
        report.record(replaces=present)
        if present:
            os.rename(self.target, self.replaced)
        os.rename(self.staging, self.target)
        await asyncio.to_thread(sync, os.path.dirname(self.target))
        if present:  # renamed first: what is half removed must never come back
            os.rename(self.replaced, self.replaced + "-gone")
            await asyncio.to_thread(shutil.rmtree, self.replaced + "-gone", ignore_errors=True)

    async def undo(self, report: Report) -> None:
        """The staged directory is missing exactly when it has been published."""
        published = not os.path.isdir(self.staging)
        if published and self.recorded.get("replaces") and not os.path.isdir(self.replaced):
            return  # the old one is gone already; the new one is complete
        if published:
            os.rename(self.target, self.staging)
        if os.path.isdir(self.replaced):
            os.rename(self.replaced, self.target)


class Remove(Present):
    """The directory moved out of sight at once, then removed."""

    name = "remove"

    def __init__(self, paths: Paths, made: Made, check_unused: Callable[[str], None]) -> None:
        super().__init__(made.name)
        self.target = paths.kernel(made.name)
        self.aside = os.path.join(paths.staging, made.staging)
        self.check_unused = check_unused
        self.resource = Directory(self.target)

    async def do(self, report: Report) -> None:
        self.check_unused(self.kernel)  # in one step with the rename: no machine can take it in between
        os.makedirs(os.path.dirname(self.aside), exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.target, self.aside)
        await asyncio.to_thread(shutil.rmtree, self.aside, ignore_errors=True)
