"""Tasks around pulls: joining one that is under way, and pruning what they have left in the cache."""

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from banger import errors
from banger.engine.change import Report, Resource
from banger.images.making import Wanted
from banger.images.record import ImageRecord
from banger.oci.cache import Cache
from banger.store.records import Records

PullTogether = Callable[[Wanted, Report], Awaitable[None]]


class Join:
    """A pull of the same name, which somebody else began, as a change of its own: cancelling it cancels no more."""

    name = "join"
    resource: Resource | None = None
    recorded: Mapping[str, object] = {}

    def __init__(self, wanted: Wanted, records: Records[ImageRecord], pull: PullTogether) -> None:
        self.wanted = wanted
        self.records = records
        self.pull = pull

    async def do(self, report: Report) -> None:
        report.stage("waiting for the same pull")
        await self.pull(msgspec.structs.replace(self.wanted, joined=False), report)
        made = self.records.by_name(self.wanted.name)
        if made is not None and made.source != self.wanted.source:
            raise errors.AlreadyExists(kind="image", name=self.wanted.name)

    async def undo(self, report: Report) -> None:
        """Nothing was made here."""


class Prune:
    """Remove the blobs that no pull needs. Done again when the daemon died in the middle."""

    name = "prune"
    resource: Resource | None = None
    recorded: Mapping[str, object] = {}

    def __init__(self, cache: Cache) -> None:
        self.cache = cache

    async def do(self, report: Report) -> None:
        report.stage("removing downloads")
        try:
            removed = await self.cache.prune(report.notice)
        except OSError as error:
            raise errors.from_os(error, self.cache.directory) from error
        report.result(blobs=removed.blobs, bytes=removed.size)

    async def undo(self, report: Report) -> None:
        """There is no way back; the next pull downloads again."""
