"""What else can be wrong when a daemon starts after a death: records that are damaged or gone, a disk that is full.

Either of a machine's two records is enough: whatever happens to one, the end is the same as without. Where both are
gone, the machine is gone, and its disk is removed or set aside; nothing runs, nothing is left.
"""

import contextlib
import errno
import os
import shutil
import sqlite3
from collections.abc import Callable

from banger import errors
from banger.vms import handles
from tests.matrix.judge import Failed
from tests.matrix.witness import MACHINE
from tests.matrix.world import World

EACH = "each"
"""Stands for all of them in one world, but for `FULL`, which needs another."""

FULL, BOTH, TWICE = "disk full", "both records gone", "killed again"


def _file(world: World, change: Callable[[str], None]) -> None:
    for name in os.listdir(world.paths.vms) if os.path.isdir(world.paths.vms) else []:
        path = os.path.join(world.paths.vms, name, handles.NAME)
        if os.path.exists(path):
            change(path)


def _cut(path: str) -> None:
    os.truncate(path, os.path.getsize(path) // 2)


def _garbage(path: str) -> None:
    with open(path, "r+b") as file:
        file.write(b'{"version":1,"machine":{"id":"\xff\0')


def _row(world: World) -> None:
    with contextlib.closing(sqlite3.connect(world.paths.database)) as database, database:
        database.execute("DELETE FROM vms WHERE name = ?", (MACHINE,))


def _both(world: World) -> None:
    _row(world)
    _file(world, os.unlink)


def _full(world: World) -> None:
    """A daemon starts, or cannot, and does what it can while nothing can be written; then there is room again."""
    filler = os.path.join(world.paths.state, "filler")
    with open(filler, "wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    if shutil.disk_usage(world.paths.state).free:
        raise Failed("the disk is not full: the full scene needs a file system of its own")
    try:
        world.start()
        world.quiet()
        world.end()
    except (Failed, errors.DaemonUnreachable):
        if not world.refused():
            raise
    os.unlink(filler)


DAMAGES: dict[str, Callable[[World], None]] = {
    "": lambda world: None,
    "handles.json deleted": lambda world: _file(world, os.unlink),
    "handles.json cut": lambda world: _file(world, _cut),
    "handles.json garbage": lambda world: _file(world, _garbage),
    "row deleted": _row,
    BOTH: _both,
    FULL: _full,
    TWICE: lambda world: None,
}
"""Each by its name; `FULL` needs a world on a small file system of its own, `TWICE` the change (`scene`)."""
