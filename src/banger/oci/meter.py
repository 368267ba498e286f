"""How far a copy is, seen from the outside: by the sizes of the files that it writes.

What is counted are the bytes that were not here when the pull began, over all of its attempts; the count never goes
back. More than the manifest promised ends the pull, before it fills the disk.
"""

import contextlib
import os
import time
from collections.abc import Sequence

from banger import errors
from banger.oci.arrival import PARTIAL
from banger.oci.cache import Cache
from banger.oci.manifest import Descriptor
from banger.oci.progress import Progress

_SLACK = 1 << 20


class Meter:
    """One pull's. ``blobs`` are those of its manifest, each as often as it is named; None when that is not known."""

    def __init__(self, cache: Cache, blobs: Sequence[Descriptor] | None, progress: Progress) -> None:
        """Raises `errors.DiskFull` when what is missing cannot have room."""
        self._cache = cache
        self._progress = progress
        self._missing = {each.digest: each for each in blobs or () if not cache.has(each)}
        self._total = None if blobs is None else sum(each.size for each in self._missing.values())
        self._promised = sum(each.size for each in blobs or () if each.digest in self._missing) + _SLACK
        self._done = 0
        self._partial: dict[str, int] = {}
        self._moved = time.monotonic()
        disk = os.statvfs(cache.directory)
        if (self._total or 0) > disk.f_bavail * disk.f_frsize:
            raise errors.DiskFull(path=cache.directory)

    def missing(self) -> int:
        """How many blobs have not come yet."""
        return sum(not self._cache.has(each) for each in self._missing.values())

    def idle(self) -> float:
        """For how many seconds nothing has come."""
        return time.monotonic() - self._moved

    def look(self, staging: str) -> None:
        """Report how far it is. Raises `errors.CorruptBlob` when more comes than was promised."""
        whole = sum(each.size for each in self._missing.values() if self._cache.has(each))
        sizes = _partial_sizes(staging)  # after the whole ones: none that is renamed between is counted twice
        if self._total is None:
            self._partial |= sizes
            self._tell(sum(self._partial.values()))
            return
        if whole + sum(sizes.values()) > self._promised:
            digest = next(iter(self._missing), "the image")
            raise errors.CorruptBlob(digest=digest, reason="more arrives than its manifest promised")
        self._tell(min(self._total, whole + sum(sizes.values())))

    def finish(self) -> None:
        """All has come."""
        if self._total:
            self._tell(self._total)

    def _tell(self, done: int) -> None:
        if done > self._done:
            self._moved = time.monotonic()
            self._done = done
        self._progress("fetch", self._done, self._total)


def _partial_sizes(staging: str) -> dict[str, int]:
    found = {}
    with contextlib.suppress(FileNotFoundError), os.scandir(staging) as entries:
        for entry in entries:
            if entry.name.startswith(PARTIAL):
                with contextlib.suppress(FileNotFoundError):
                    found[entry.name] = entry.stat().st_size
    return found
