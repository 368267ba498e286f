"""What survives a power cut, without holding up those who go on meanwhile: `fresh` for whoever awaits."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

from banger import errors
from banger.disk import fresh


@contextlib.asynccontextmanager
async def replacing(path: str, *, durable: bool) -> AsyncIterator[str]:
    """As `fresh.replacing`; the waits for the disk are a thread's."""
    with fresh.replacing(path) as beside:
        yield beside
        if durable:
            await asyncio.to_thread(fresh.sync, beside)
    if durable:
        await synced(os.path.dirname(path))


async def synced(path: str) -> None:
    """Make a file's content, or the names in a directory, survive. Raises what `errors.from_os` makes of an OSError."""
    try:
        await asyncio.to_thread(fresh.sync, path)
    except OSError as error:
        raise errors.from_os(error, path) from error


async def given(path: str, uid: int, *, durable: bool) -> None:
    """Make a file that user's own. Raises as `synced`."""
    try:
        os.chown(path, uid, uid)
    except OSError as error:
        raise errors.from_os(error, path) from error
    if durable:
        await synced(path)
