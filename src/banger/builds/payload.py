"""A recipe's files as one tar archive, in the staging area from before the change begins until it has ended.

Entries are regular files only, with their modes; missing directories on the way are made by whoever unpacks, existing
ones stay as they are. Owners that are names are given afterwards (`shell.owners`): only the image knows its users.
"""

import contextlib
import io
import os
import tarfile
import time
from collections.abc import AsyncIterator, Sequence

from banger import errors
from banger.api.recipe import RecipeFile

PIECE = 64 << 10


def entry(path: str, content: bytes, mode: int, owner: str = "root:root") -> tuple[tarfile.TarInfo, bytes]:
    """A file of an archive; ``path`` is absolute."""
    info = tarfile.TarInfo(path.lstrip("/"))
    info.size, info.mode, info.mtime = len(content), mode, int(time.time())
    info.uid, info.gid = numeric(owner) or (0, 0)
    return info, content


def write(path: str, files: Sequence[RecipeFile]) -> None:
    """The archive, at ``path``. A failure leaves no file. Raises `errors.DiskFull`."""
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with tarfile.open(path, "x", format=tarfile.PAX_FORMAT) as archive:
            for file in files:
                info, content = entry(file.path, file.content, file.mode, file.owner)
                archive.addfile(info, io.BytesIO(content))
    except BaseException as error:
        remove(path)
        if isinstance(error, OSError):
            raise errors.from_os(error, path) from error
        raise


def remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


async def chunks(path: str) -> AsyncIterator[bytes]:
    """The archive in pieces."""
    with open(path, "rb") as file:
        while data := file.read(PIECE):
            yield data


def packed(entries: Sequence[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """An archive in memory, of what is small."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def numeric(owner: str) -> tuple[int, int] | None:
    """User and group in numbers, where they can be told without the image."""
    user, colon, group = owner.partition(":")
    numbers = [0 if each == "root" else int(each) if each.isdecimal() else None for each in (user, group or user)]
    if not colon and user != "root":
        return None  # the group is the user's own, which only the image knows
    uid, gid = numbers
    return None if uid is None or gid is None else (uid, gid)
