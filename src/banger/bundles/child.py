"""The process in which a bundle is fetched and unpacked: what a server or an archive does to it ends it alone.

The request is one JSON document on the child's stdin; on its stdout come lines of JSON, each with one member::

    {"progress": 4194304}                                   bytes that have come
    {"manifest": {...}}                                     the last line of a bundle that was right
    {"error": {"code": ..., "message": ..., "hint": ..., "data": {...}}}

The digest of the compressed stream is checked while it arrives; the last line is only said when it was right. Whatever
lies in the directory without that line is worthless. The directory's files are durable by then.
"""

import ctypes
import hashlib
import os
import resource
import signal
import sys
from collections.abc import Iterator

import msgspec

from banger import errors
from banger.bundles import download, unpack
from banger.bundles.download import Patience
from banger.bundles.manifest import Kind, Manifest

MEMORY_LIMIT = 1 << 30
_PR_SET_PDEATHSIG = 1
_STEP = 1 << 20


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to fetch: the compressed stream's place, length and sha256, and the empty directory for its files."""

    url: str
    size: int
    sha256: str
    kind: Kind
    directory: str
    patience: Patience = download.DEFAULT


class Failure(msgspec.Struct, frozen=True):
    code: str
    message: str
    hint: str
    data: dict[str, str]


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the child's output."""

    progress: int | None = None
    manifest: Manifest | None = None
    error: Failure | None = None


def fetch(request: Request) -> Manifest:
    """Raises `errors.SourceUnavailable`, `errors.CorruptBlob`, `errors.BadBundle`, `errors.DiskFull`."""
    digest = hashlib.sha256()

    def arriving() -> Iterator[bytes]:
        came = told = 0
        for piece in download.pieces(request.url, request.size, request.patience):
            digest.update(piece)
            came += len(piece)
            if came - told >= _STEP or came == request.size:
                told = came
                _say(Line(progress=came))
            yield piece

    stream = arriving()
    try:
        manifest = unpack.unpack(stream, request.directory, request.kind, request.url, request.size)
        _make_durable(request.directory)
    except OSError as fault:
        raise errors.from_os(fault, request.directory) from fault
    if digest.hexdigest() != request.sha256:
        raise errors.CorruptBlob(digest=f"sha256:{request.sha256}", reason=f"{request.url} is something else")
    return manifest


def _make_durable(directory: str) -> None:
    for place, _, names in os.walk(directory):
        for name in names:
            descriptor = os.open(os.path.join(place, name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def main() -> int:
    """The child: one request on stdin, lines on stdout."""
    # it dies with whoever started it; a parent that is gone by now has sent no request
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    try:
        manifest = fetch(request)
    except errors.BangerError as fault:
        data = {key: str(value) for key, value in fault.data.items()}
        _say(Line(error=Failure(fault.code, fault.message, fault.advice, data)))
        return fault.exit_status
    except MemoryError:
        failure = errors.BadBundle(bundle=request.url, reason="it takes more memory than a bundle may")
        _say(Line(error=Failure(failure.code, failure.message, failure.advice, {})))
        return failure.exit_status
    _say(Line(manifest=manifest))
    return 0


def _say(line: Line) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
