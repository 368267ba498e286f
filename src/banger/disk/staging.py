"""The staging area: work in progress, each piece under a name of its own in one directory.

A piece is left over when it was there well before every change that is under way (`GRACE`): what comes with a request
is put here just before its change begins.
"""

import contextlib
import math
import os
import shutil

GRACE = 60.0
"""Seconds that a piece may be older than the change that it belongs to."""


def found(directory: str, before: float = math.inf, prefix: str = "") -> list[str]:
    """Paths of what was left here ``before`` a time, under names that begin so."""
    left = []
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
        path = os.path.join(directory, name)
        with contextlib.suppress(FileNotFoundError):
            if name.startswith(prefix) and os.lstat(path).st_ctime < before:
                left.append(path)
    return left


def remove(path: str) -> None:
    """Take a piece away, whatever it is; a link is not followed."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def sweep(directory: str, prefix: str) -> None:
    """Remove all that an earlier daemon has left under names that begin so."""
    for path in found(directory, prefix=prefix):
        remove(path)
