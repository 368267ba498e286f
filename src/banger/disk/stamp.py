"""Which state of a file it is that was looked at: a key to remember by what was made of its content.

A file that is replaced, or written to and closed, has another stamp, unless that happens twice within a tick of the
file system's clock and leaves it as long as it was.
"""

import os
from typing import NamedTuple


class Stamp(NamedTuple):
    """Of a file at a moment."""

    device: int
    inode: int
    size: int
    changed: int


def of(path: str) -> Stamp:
    """Raises OSError."""
    found = os.stat(path)
    return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
