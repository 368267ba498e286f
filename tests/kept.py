"""Directories that are dear to make, kept below the build cache: one for each name and key of its inputs.

A directory appears under its name only when it is complete. Whoever finds none makes it under a lock, and others wait
for that. Of each name the newest few are kept; one that is in use is spared, for its users hold a shared lock.

On disk: ``NAME-KEY/`` and ``NAME-KEY.lock`` beside it.
"""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

KEEP = 3

Report = Callable[[str], None]
"""Is told what was made, and how long it took."""

_HELD = ExitStack()
"""What this process uses until it ends."""


def build_cache() -> Path:
    """Where things live that are dear to make and may be thrown away."""
    cache = Path(os.environ.get("BANGER_BUILD_CACHE") or Path.home() / ".cache" / "banger-build")
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def keep(name: str, inputs: str, make: Callable[[Path], None]) -> Path:
    """As `kept`, for as long as this process lives."""
    return _HELD.enter_context(kept(name, inputs, make, lambda text: None))


def key(*inputs: str | bytes | Path) -> str:
    """A digest of strings, bytes, and files by name and content."""
    digest = hashlib.sha256()
    for each in inputs:
        if isinstance(each, Path):
            digest.update(each.name.encode() + b"\0" + each.read_bytes())
        else:
            digest.update(each if isinstance(each, bytes) else each.encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


@contextmanager
def kept(
    name: str,
    inputs: str,
    make: Callable[[Path], None],
    report: Report,
    usable: Callable[[Path], bool] = lambda path: True,
) -> Iterator[Path]:
    """The directory of ``name`` for the key ``inputs``; ``make`` fills a new one. It stays while the context does."""
    root = build_cache()
    ready = root / f"{name}-{inputs}"
    with open(f"{ready}.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        if not (ready.is_dir() and usable(ready)):
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (ready.is_dir() and usable(ready)):
                _make(ready, make, report)
            fcntl.flock(lock, fcntl.LOCK_SH)
        os.utime(ready)
        _prune(root, name, ready)
        yield ready


def _make(ready: Path, make: Callable[[Path], None], report: Report) -> None:
    begun = time.monotonic()
    staging = ready.with_name(f"{ready.name}.new")
    _remove(staging)
    _remove(ready)
    staging.mkdir()
    try:
        make(staging)
    except BaseException:
        _remove(staging)
        raise
    staging.rename(ready)
    report(f"made {ready.name} in {time.monotonic() - begun:.0f} s")


def _prune(root: Path, name: str, current: Path) -> None:
    """Remove all but the newest of a name, unless somebody uses them."""
    found = [each for each in root.glob(f"{name}-????????????????") if each.is_dir()]
    for old in sorted(found, key=lambda each: each.stat().st_mtime, reverse=True)[KEEP:]:
        if old == current:
            continue
        with open(f"{old}.lock", "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            _remove(old)


def _remove(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
