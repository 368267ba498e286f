"""Fetching a bundle in a process of its own (`banger.bundles.child`); cancelling is killing it."""

import contextlib
import os
import sys
from collections.abc import Callable

import msgspec

from banger import errors, proc
from banger.bundles import download
from banger.bundles.child import Failure, Line, Request
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
    told: list[Manifest] = []
    failed: list[Failure] = []

    def hear(text: str) -> None:
        with contextlib.suppress(msgspec.DecodeError):
            line = msgspec.json.decode(text, type=Line)
            if line.progress is not None:
                progress(line.progress)
            told.extend([line.manifest] if line.manifest is not None else [])
            failed.extend([line.error] if line.error is not None else [])

    request = Request(
        url=source.url, size=source.size, sha256=source.sha256, kind=kind, directory=directory, patience=patience
    )
    result = await proc.run(
        [sys.executable, "-P", "-m", "banger.bundles.child"],
        input=msgspec.json.encode(request),
        env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},  # what this process imports, it imports
        check=False,
        on_output=hear,
    )
    if told and result.status == 0:
        return told[0]
    if failed:
        raise errors.from_wire(failed[0].code, failed[0].message, failed[0].hint, dict(failed[0].data))
    words = result.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    raise errors.InternalError(detail=words or f"the process that fetched it ended with status {result.status}")
