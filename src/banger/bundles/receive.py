"""Fetching a bundle in a process of its own (`banger.bundles.child`); cancelling is killing it."""

from collections.abc import Callable

import msgspec

from banger import errors, worker
from banger.bundles import download
from banger.bundles.child import Request
from banger.bundles.download import Patience
from banger.bundles.manifest import Kind, Manifest


class Source(msgspec.Struct, frozen=True):
    """A bundle as a catalog names it; ``size`` is that of the compressed file."""

    url: str
    sha256: str
    size: int


async def receive(
    source: Source,
    directory: str,
    kind: Kind,
    progress: Callable[[int], None] = lambda done: None,
    patience: Patience = download.DEFAULT,
) -> Manifest:
    """Fetch a bundle, check it, and write its files into the empty ``directory``, durably.

    ``progress`` hears how many bytes have come. A failure leaves the directory for the caller to remove. Raises
    `errors.SourceUnavailable`, `errors.CorruptBlob`, `errors.BadBundle`, `errors.DiskFull`.
    """
    request = Request(
        url=source.url, size=source.size, sha256=source.sha256, kind=kind, directory=directory, patience=patience
    )
    try:
        return await worker.ask("banger.bundles.child", request, Manifest, lambda stage, done, total: progress(done))
    except worker.Died as fault:
        raise errors.InternalError(detail=str(fault)) from None
