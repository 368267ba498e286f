"""An export from a machine that has no git: its files are fetched, and this host's git compares copies of them.

The owner's repository has the base, and the list of the import tells which files are still as they came. What the
machine sends is unpacked by `banger.sdk.archive` below a directory of ours, without any ``.git``.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from banger.paths import Paths
from banger.sdk import archive
from banger.sdk.client import Client
from banger.sdk.export import Answer
from banger.workspace import listing, repository
from banger.workspace.scratch import Filter, Scratch, resolved

LIMITS = archive.Limits(size=8 << 30)
"""Of all files together, ignored ones too: which those are is known only here."""

PREFIX = "export-"


@contextlib.contextmanager
def compared(client: Client, vm: str, record: dict[str, Any], base: str | None) -> Iterator[Answer]:
    """The changes of a workspace. ``base`` is a commit of the owner's repository, the imported one when left out.

    Raises `errors.NoRepository`, `errors.NoSuchPath`, `errors.NotFound` (no such commit), `errors.UnsafeArchive`,
    `errors.DiskFull`, `errors.ToolMissing`.
    """
    source = repository.find(record["source"])
    commit = resolved(source, base or record["commit"]) if base or record["commit"] else None
    imported = None if base is not None else listing.load(client.vm_workspace_listing(vm))[-1]
    with _directory() as directory:
        scratch, names = Scratch(directory, source), Filter()
        with client.vm_get(vm, f"{record['path']}/.") as reply:
            archive.unpack(reply.chunks(), scratch.tree, names, LIMITS)
        tree = scratch.base(commit, imported, record["imported"])
        without = sorted(names.repositories)
        yield Answer(tree, [os.fsencode(each) for each in without], scratch.patch(tree, without))


@contextlib.contextmanager
def _directory() -> Iterator[str]:
    """A directory that is gone at the end; those of processes that were killed go first."""
    room = os.path.join(Paths.from_environment().cache, "workspaces")
    os.makedirs(room, mode=0o700, exist_ok=True)
    for name in os.listdir(room):
        owner = name.removeprefix(PREFIX).partition("-")[0]
        if name.startswith(PREFIX) and owner.isdecimal() and not os.path.exists(f"/proc/{owner}"):
            shutil.rmtree(os.path.join(room, name), ignore_errors=True)
    directory = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=room)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
