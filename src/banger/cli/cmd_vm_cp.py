"""``banger vm cp``: files in and out, or a tar archive on stdin and stdout."""

import os
import re
from collections.abc import Iterator

from banger import errors
from banger.cli import session
from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace
from banger.sdk import files
from banger.sdk.client import Client

_REMOTE = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*):(.*)", re.DOTALL)
STREAM = "-"


def run(arguments: Namespace, terminal: Terminal) -> int:
    source, target = split(arguments.src), split(arguments.dst)
    if source is not None and target is not None:
        raise errors.UsageError(detail="both are in machines: copy to this host first")
    with Client() as client:
        if target is not None:
            _put(client, arguments.src, *target)
        elif source is not None:
            _get(client, *source, arguments.dst)
        else:
            raise errors.UsageError(detail="neither is in a machine: write one as VM:PATH")
    return 0


def split(word: str) -> tuple[str, str] | None:
    """Machine and path; None for a path of this host. ``./a:b`` is always one of this host."""
    found = _REMOTE.fullmatch(word)
    if found is None:
        return None
    if not found[2]:
        raise errors.UsageError(detail=f"{word!r} names no path; the whole machine is {found[1]}:/")
    return found[1], found[2]


def _put(client: Client, local: str, vm: str, remote: str) -> None:
    if local == STREAM:
        files.archive_in(client, vm, remote, _stdin())
    else:
        files.put(client, vm, local, remote)


def _get(client: Client, vm: str, remote: str, local: str) -> None:
    if local != STREAM:
        files.get(client, vm, remote, local)
        return
    if os.isatty(session.STDOUT_FD):
        raise errors.UsageError(detail="an archive is not for a terminal: send stdout somewhere")
    for data in files.archive_out(client, vm, remote):
        session.write_all(session.STDOUT_FD, data)


def _stdin() -> Iterator[bytes]:
    while data := os.read(session.STDIN_FD, 1 << 18):
        yield data
