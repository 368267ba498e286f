"""Images whose root file system is somebody else's file: registered where it is, or promoted to a copy of our own.

A registered file is examined once, then only ever read. Two things change it, each on request alone and before the
examination: giving to root what belongs to the caller (for a file system that was built of a plain directory), and the
guest's part of banger. What a machine reads through its own disk must not change under it: a file that is no longer the
one that was examined starts no machine.

Promoting makes a new image of the same name, from a copy. The registered one goes once no machine needs it.
"""

import asyncio
import os
import shutil
import stat
import time
from collections.abc import Sequence

import msgspec

from banger import errors
from banger.api.image import Step
from banger.bundles import pack
from banger.disk import contents, copy, edit, ownership
from banger.disk.guest_file import Owner
from banger.engine.change import Report, Task
from banger.guest import assets
from banger.images import making, nature, sources
from banger.images.making import Enter, Made, Present, Publish, Seed, Unused, Wanted
from banger.images.receiving import WRITER
from banger.images.record import ROOTFS, ImageRecord, Stamp, stamp_of
from banger.images.seeds import Seeds
from banger.log import printable
from banger.paths import Paths
from banger.store.records import Records

ENTRIES_LIMIT = 1_000_000
_ROOT_INODE = 2


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """Spec of ``image.register`` and ``image.promote``."""

    wanted: Wanted
    """Its ``source`` is the file's real path."""
    root_owned: bool = False
    assets: bool = False
    promoted: str = ""
    """The id of the registered image whose copy is made."""


def real_path(path: str, paths: Paths) -> str:
    """The one name of a file that can be registered.

    Raises `errors.UsageError`, `errors.SourceUnavailable`, `errors.UnusableDisk`.
    """
    if not os.path.isabs(path) or "\0" in path:
        raise errors.UsageError(detail=f"{printable(path, 200)!r} is not an absolute path")
    real = os.path.realpath(path)
    try:
        status = os.stat(real)
    except OSError as error:
        raise errors.SourceUnavailable(reference=path, reason=(error.strerror or str(error)).lower()) from None
    if not stat.S_ISREG(status.st_mode):
        raise errors.UnusableDisk(path=path, reason="it is not a regular file")
    for root in (paths.state, paths.cache, paths.config, paths.runtime):
        if real.startswith(os.path.realpath(root) + os.sep):
            raise errors.UnusableDisk(path=path, reason="it is one of banger's own files")
    if not os.access(real, os.R_OK):
        raise errors.UnusableDisk(path=path, reason="it cannot be read")
    if os.geteuid() == 0:
        _check_reach(real, status)
    return real


def _check_reach(path: str, status: os.stat_result) -> None:
    """Whether monitors get at a file, which root's daemon runs as other users. Raises `errors.UnusableDisk`."""
    closed = "" if status.st_mode & 0o004 else path
    while not closed and path != "/":
        path = os.path.dirname(path)
        closed = "" if os.stat(path).st_mode & 0o001 else path
    if closed:
        reason = f"machines of root run as other users, to whom {closed} is closed"
        raise errors.UnusableDisk(path=path, reason=reason)


def check_unchanged(record: ImageRecord) -> None:
    """Whether a registered file is still the one that was examined. Raises `errors.UnusableDisk`."""
    if not record.path:
        return
    try:
        found: Stamp | None = stamp_of(os.stat(record.path))
    except OSError:
        found = None
    if found != record.stamp:
        what = "is gone" if found is None else "has changed"
        changed = errors.UnusableDisk(path=record.path, reason=f"it {what} since it was registered as {record.name}")
        changed.advise("bring back what it was, or delete its machines and the image and register it again")
        raise changed


class _FromFile(Present):
    """What registering and promoting have in common: a record in the staging area."""

    def __init__(self, registered: Registered, records: Records[ImageRecord], paths: Paths, agent: str) -> None:
        super().__init__(registered.wanted, records, paths)
        self.registered = registered
        self.agent = agent
        self.resource = Made("directory", self.staging)

    async def undo(self, report: Report) -> None:
        await asyncio.to_thread(shutil.rmtree, self.staging, ignore_errors=True)

    async def _equip(self, rootfs: str, report: Report) -> str:
        """Put the guest's part of banger into a file system; the digest of what it is."""
        report.stage("putting the guest's part of banger into it")
        today = assets.load(self.agent)
        await edit.apply(rootfs, today.files, scratch=self.staging)
        return today.digest


class Register(_FromFile):
    """The record of a file that stays where it is."""

    name = "examine"

    async def do(self, report: Report) -> None:
        wanted, path = self.wanted, self.wanted.source
        try:
            os.makedirs(self.staging, mode=0o700)
            if self.registered.root_owned:
                report.stage("giving its files to root")
                await _give_to_root(path)
            digest = await self._equip(path, report) if self.registered.assets else ""
            report.stage("examining the file system")
            before = stamp_of(os.stat(path))
            found = await nature.examine(path)
            content = await asyncio.to_thread(pack.digest, path)
            if stamp_of(os.stat(path)) != before:
                raise errors.UnusableDisk(path=path, reason="it changes while it is looked at")
        except OSError as error:
            raise errors.from_os(error, path) from error
        record = ImageRecord(
            id=wanted.id,
            name=wanted.name,
            kind="file",
            source=path,
            digest=f"sha256:{content}",
            writer=WRITER,
            assets=digest,
            architecture=sources.architecture(),
            init=found.init,
            kernel=wanted.kernel,
            path=path,
            stamp=before,
            size=before.size,
            created=time.time(),
            steps=(Step(f"file {printable(path, sources.STEP_LENGTH)}"),),
        )
        await making.keep(self.staging, record)


class Promote(_FromFile):
    """A copy of our own of a registered file, with the guest's part of banger in it."""

    name = "copy"

    async def do(self, report: Report) -> None:
        wanted = self.wanted
        older = self.records.by_id(self.registered.promoted)
        if older is None:
            raise errors.NotFound(kind="image", name=wanted.name)
        rootfs = os.path.join(self.staging, ROOTFS)
        try:
            os.makedirs(self.staging, mode=0o700)
            check_unchanged(older)
            report.stage("copying the file system")
            await copy.copy(older.path, rootfs)
            check_unchanged(older)
            digest = await self._equip(rootfs, report)
            report.stage("examining the file system")
            found = await nature.examine(rootfs)
            content = await asyncio.to_thread(pack.digest, rootfs)
            os.chmod(rootfs, 0o644)  # monitors that run as other users read it
            record = msgspec.structs.replace(
                older, id=wanted.id, name=wanted.name, digest=f"sha256:{content}", assets=digest, init=found.init,
                path="", stamp=None, created=time.time(), steps=(*older.steps, Step("copied")),
            )  # fmt: skip
            await making.keep(self.staging, record, rootfs)
        except OSError as error:
            raise errors.from_os(error, self.staging) from error


async def _give_to_root(path: str) -> None:
    """Make root the owner of all that belongs to the caller."""
    own, group = os.geteuid(), os.getegid()
    if own == 0:
        return
    owners = []
    for place in await contents.subtree(path, _ROOT_INODE, ENTRIES_LIMIT):
        entry = place.entry
        if own == entry.uid or group == entry.gid:
            name = b"/" + b"/".join(place.trail)
            uid, gid = (0 if own == entry.uid else entry.uid), (0 if group == entry.gid else entry.gid)
            owners.append(Owner(name.decode("utf-8", "surrogateescape"), uid, gid))
    await ownership.apply(path, owners)


def plan(
    registered: Registered, records: Records[ImageRecord], paths: Paths, agent: str, unused: Unused, seeds: Seeds
) -> Sequence[Task]:
    """The tasks that register a file, or make a managed image of one that is registered."""
    kind = Promote if registered.promoted else Register
    return [
        kind(registered, records, paths, agent),
        Seed(registered.wanted, records, paths, seeds, "" if registered.promoted else registered.wanted.source),
        Publish(registered.wanted, records, paths),
        Enter(registered.wanted, records, paths, unused),
    ]
