"""What files take of their disk.

Counted are allocated blocks, so holes take nothing. Blocks that a file system shares between files (clones on btrfs
and XFS) are counted with each of them, as du(1) does.
"""

import os

_BLOCK = 512
"""The unit of st_blocks, whatever the file system's own is (stat(2))."""


class Meter:
    """Sums of directories; what was counted is not counted again."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()

    def taken(self, path: str) -> int:
        """Bytes of everything at and below a path. Links are not followed; what goes away meanwhile takes nothing."""
        total, waiting = 0, [path]
        while waiting:
            current = waiting.pop()
            try:
                found = os.lstat(current)
                if (found.st_dev, found.st_ino) in self._seen:
                    continue
                self._seen.add((found.st_dev, found.st_ino))
                total += found.st_blocks * _BLOCK
                if os.path.isdir(current) and not os.path.islink(current):
                    waiting += [os.path.join(current, name) for name in os.listdir(current)]
            except OSError:
                continue
        return total
