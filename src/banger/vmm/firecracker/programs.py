"""The two programs as they are installed: whether root alone can have put them there, and which versions they state."""

import asyncio
import os
import re
import stat

from banger import errors, proc
from banger.vmm.firecracker import versions
from banger.vmm.firecracker.versions import Judgement

MEND = "sudo banger firecracker install"
"""What puts both in place, whatever is wrong with those that are there."""

_STATED = re.compile(rb"\b[vV]?(\d{1,5}\.\d{1,5}\.\d{1,5}\S*)")
_PATIENCE = 10.0


async def judge(firecracker: str, jailer: str) -> Judgement:
    """Whether machines can be run with these two, in words. Never raises."""
    for path in (firecracker, jailer):
        fault = _fault(path)
        if fault is not None:
            return Judgement(False, fault)
    try:
        stated = await asyncio.gather(version(firecracker), version(jailer))
    except errors.BangerError as failed:
        return Judgement(False, failed.message)
    return versions.judge(*stated)


def identity(path: str) -> str:
    """What tells this file from another one under its name, or with other rights; empty when there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return f"{found.st_dev}:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}:{found.st_uid}:{found.st_mode:o}"


def _fault(path: str) -> str | None:
    """Why root must not run the program; None when nothing speaks against it."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return f"{path} is not installed"
    except OSError as error:
        return f"{path}: {error.strerror}"
    if not stat.S_ISREG(found.st_mode) or not found.st_mode & 0o111:
        return f"{path} is not a program"
    while True:
        if found.st_uid != 0 or found.st_mode & 0o022:
            return f"somebody other than root can write {path}"
        if path == "/":
            return None
        path = os.path.dirname(path)
        found = os.stat(path)


async def version(path: str) -> str:
    """What a program says of itself. Raises what `proc.run` raises."""
    said = await proc.run([path, "--version"], timeout=_PATIENCE)
    found = _STATED.search(said.stdout)
    return found[1].decode("ascii", "replace") if found else "no version"
