"""Repositories in machines: what a machine's row says of its workspace, and the listings beside its disk.

An import is a tar stream whose first entry, `LISTING`, is what its client wants to find again next time: what the rest
of the stream brings. It is kept here and never looked into. On record before the guest gets a byte: the listing, as
`NEXT`, and the workspace as incomplete. Afterwards `NEXT` takes the place of `LAST`, and the workspace is complete. So
an import that broke off, for whatever reason, is known as such, with both what was there and what was to come.
"""

import contextlib
import os
import re
import tarfile
import time
import uuid
from collections.abc import AsyncIterator

import msgspec

from banger import errors
from banger.api.workspace import Import, Workspace
from banger.disk.fresh import replacing
from banger.guest.channel import Channel
from banger.paths import Paths
from banger.vms import handles
from banger.vms.record import Machines

LAST, NEXT = "workspace.list", "workspace.next"
LISTING = "banger-listing"
LISTING_LIMIT = 64 << 20
"""Bytes: half a million files with names of a hundred."""

PATH_LIMIT = 4096
NAME_LIMIT = 1024
BLOCK = 512

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def check(wanted: Import) -> None:
    """Refuse what no record should hold. Raises `errors.UsageError`."""
    for name, path in (("path", wanted.path), ("source", wanted.source)):
        steps = path.split("/")[1:]
        if not path.startswith("/") or len(path) > PATH_LIMIT or "\0" in path or {"", ".", ".."} & set(steps):
            raise errors.UsageError(detail=f"{name} is an absolute path without '.', '..' and a final '/'")
    if wanted.commit is not None and not _COMMIT.fullmatch(wanted.commit):
        raise errors.UsageError(detail="commit is the whole id of a commit")
    for name, text in (("branch", wanted.branch), ("start", wanted.start), ("base", wanted.base)):
        if text is not None and (len(text) > NAME_LIMIT or not text.isprintable()):
            raise errors.UsageError(detail=f"{name} is too long, or not printable")


async def take(
    machines: Machines, paths: Paths, vm_id: str, wanted: Import, channel: Channel, chunks: AsyncIterator[bytes]
) -> Workspace:
    """Carry an import out. Raises `errors.WorkspaceBusy` when its base is not the last one any more, `errors.NotFound`
    when the machine is deleted meanwhile, and what `Channel.put` does."""
    listing, rest = await _split(chunks)
    record = machines.get(vm_id)
    last = record.workspace if record is not None else None
    if record is not None and (last.id if last else None) != wanted.base:
        raise errors.WorkspaceBusy(name=record.name)
    workspace = Workspace(
        id=uuid.uuid4().hex,
        path=wanted.path,
        source=wanted.source,
        commit=wanted.commit,
        branch=wanted.branch,
        start=wanted.start,
        untracked=wanted.untracked,
        imported=time.time(),
    )
    directory = paths.vm(vm_id)
    await handles.in_turn(paths, vm_id, lambda: _keep(directory, listing))
    await _enter(machines, paths, vm_id, workspace)
    await channel.put(os.path.dirname(wanted.path), rest)
    await handles.in_turn(paths, vm_id, lambda: _take_over(directory))
    done = msgspec.structs.replace(workspace, complete=True)
    await _enter(machines, paths, vm_id, done)
    return done


def listing(paths: Paths, vm_id: str) -> bytes:
    """The last import's listing; for one that broke off that of the one before it, if any, and its own behind it."""
    found = []
    for name in (LAST, NEXT):
        with contextlib.suppress(FileNotFoundError), open(os.path.join(paths.vm(vm_id), name), "rb") as file:
            found.append(file.read())
    return b"".join(found)


async def _enter(machines: Machines, paths: Paths, vm_id: str, workspace: Workspace) -> None:
    record = machines.change(vm_id, workspace=workspace)
    if record is None:
        raise errors.NotFound(kind="machine", name=vm_id)
    await handles.kept(paths, record)


def _keep(directory: str, listing: bytes) -> None:
    if not os.path.isdir(directory):
        return  # it is being deleted, and has no record in a moment
    with replacing(os.path.join(directory, NEXT), durable=True) as beside:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(listing)


def _take_over(directory: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.replace(os.path.join(directory, NEXT), os.path.join(directory, LAST))


async def _split(chunks: AsyncIterator[bytes]) -> tuple[bytes, AsyncIterator[bytes]]:
    """The first entry's content, and the stream without it. Raises `errors.UsageError`."""
    held = bytearray()

    async def upto(size: int) -> None:
        while len(held) < size:
            chunk = await anext(chunks, None)
            if chunk is None:
                raise errors.UsageError(detail="the archive ends too early")
            held.extend(chunk)

    await upto(BLOCK)
    try:
        head = tarfile.TarInfo.frombuf(bytes(held[:BLOCK]), "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        raise errors.UsageError(detail="the workspace is not a tar archive") from None
    if head.name != LISTING or not head.isreg() or not 0 <= head.size <= LISTING_LIMIT:
        raise errors.UsageError(detail=f"the archive begins with {LISTING}, of at most {LISTING_LIMIT >> 20} MiB")
    padded = BLOCK + head.size + -head.size % BLOCK
    await upto(padded)
    listing, left = bytes(held[BLOCK : BLOCK + head.size]), bytes(held[padded:])
    held.clear()

    async def rest() -> AsyncIterator[bytes]:
        if left:
            yield left
        async for chunk in chunks:
            yield chunk

    return listing, rest()
