"""What a finished root file system is, read from the ext4 file itself: for those that banger has not written.

The rules are `banger.oci.probe`'s. The file is checked first, and nothing in it is believed: whatever cannot be
followed is not there.
"""

import contextlib
import os
import stat
from collections.abc import Iterable

from banger import errors
from banger.disk import edit
from banger.oci import probe
from banger.oci.probe import Nature

BLOCK = 4096
CHECK_SECONDS = 300
_LINKS = 8


async def examine(path: str) -> Nature:
    """Check a file system and look what it brings. Raises `errors.UnusableDisk`, `errors.TimedOut`."""
    if os.path.getsize(path) % BLOCK:
        raise errors.UnusableDisk(path=path, reason=f"its size is no multiple of {BLOCK} bytes")
    await edit.check(path, CHECK_SECONDS)
    return Nature(await _init(path), await _distribution(path), await _executable(path, "/bin/sh") is not None)


async def brings(path: str, names: Iterable[str]) -> bool:
    """Whether one of these absolute names is that of a program. For a file system that was examined before."""
    for name in names:
        if await _executable(path, name) is not None:
            return True
    return False


async def _find(path: str, name: str) -> edit.Inode | None:
    with contextlib.suppress(errors.UnusableDisk, errors.UsageError):
        return await edit.resolve(path, name)
    return None


async def _executable(path: str, name: str) -> edit.Inode | None:
    found = await _find(path, name)
    return found if found is not None and stat.S_ISREG(found.mode) and found.mode & 0o111 else None


async def _init(path: str) -> str | None:
    busybox = [found.number for name in probe.BUSYBOX if (found := await _find(path, name)) is not None]
    for name in probe.INIT_PATHS:
        found = await _executable(path, name)
        if found is not None and found.number not in busybox and not await _leads_to_none(path, name):
            return name
    return None


async def _leads_to_none(path: str, name: str) -> bool:
    """Whether the symbolic link at ``name``, or one that it leads to, names a program that is no init of a system."""
    for _ in range(_LINKS):
        try:
            found = await edit.stat(path, name)
        except (errors.UnusableDisk, errors.UsageError):
            return False
        if found is None or found.target is None:
            break
        target = found.target.decode("utf-8", "surrogateescape")
        name = os.path.normpath(target if target.startswith("/") else f"{os.path.dirname(name)}/{target}")
    return os.path.basename(name).encode("utf-8", "surrogateescape") in probe.NO_INITS


async def _distribution(path: str) -> str:
    for name in probe.OS_RELEASE:
        with contextlib.suppress(errors.BangerError):
            return probe.distribution(await edit.read(path, name, probe.OS_RELEASE_LIMIT))
    return ""
