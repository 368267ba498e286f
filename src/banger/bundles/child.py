"""The process in which a bundle is fetched and unpacked: what a server or an archive does to it ends it alone.

The digest of the compressed stream is checked while it arrives; the reply (`banger.worker`) is only given when it was
right. Whatever lies in the directory without that is worthless. The directory's files are durable by then.
"""

import hashlib
import os
import sys
from collections.abc import Iterator
from functools import partial

import msgspec

from banger import errors, serving
from banger.bundles import download, unpack
from banger.bundles.download import Patience
from banger.bundles.manifest import Kind, Manifest
from banger.disk.fresh import sync
from banger.serving import Progress

MEMORY_LIMIT = 1 << 30
_STEP = 1 << 20


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to fetch: the compressed stream's place, length and sha256, and the empty directory for its files."""

    url: str
    size: int
    sha256: str
    kind: Kind
    directory: str
    patience: Patience = download.DEFAULT


def fetch(request: Request, progress: Progress) -> Manifest:
    """Raises `errors.SourceUnavailable`, `errors.CorruptBlob`, `errors.BadBundle`, `errors.DiskFull`."""
    digest = hashlib.sha256()

    def arriving() -> Iterator[bytes]:
        came = told = 0
        for piece in download.pieces(request.url, request.size, request.patience):
            digest.update(piece)
            came += len(piece)
            if came - told >= _STEP or came == request.size:
                told = came
                progress("fetch", came, request.size)
            yield piece

    stream = arriving()
    try:
        manifest = unpack.unpack(stream, request.directory, request.kind, request.url, request.size)
        for place, _, names in os.walk(request.directory):
            sync(*(os.path.join(place, name) for name in names))
    except OSError as fault:
        raise errors.from_os(fault, request.directory) from fault
    if digest.hexdigest() != request.sha256:
        raise errors.CorruptBlob(digest=f"sha256:{request.sha256}", reason=f"{request.url} is something else")
    return manifest


def main() -> int:
    """The child: one request on stdin, lines on stdout."""
    return serving.serve(
        partial(msgspec.json.decode, type=Request),
        lambda request, progress: msgspec.to_builtins(fetch(request, progress)),
        memory=lambda request: MEMORY_LIMIT,
        exhausted=lambda request: errors.BadBundle(bundle=request.url, reason="it takes more memory than a bundle may"),
    )


if __name__ == "__main__":
    sys.exit(main())
