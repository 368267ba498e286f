"""Files in and out of a guest as tar streams. What comes out is hostile; whoever writes it to disk judges it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from banger.guest.stream import Stream, refusal


async def put(stream: Stream, chunks: AsyncIterator[bytes]) -> None:
    """Send a tar stream. When the guest gives up early its reason is raised, and the rest is not sent."""
    try:
        async for chunk in chunks:
            if not await stream.write(chunk):
                break
        stream.end_input()
        await _finish(stream)
    except BaseException:
        stream.close()
        raise


async def get(stream: Stream) -> AsyncGenerator[bytes]:
    """Receive a tar stream; a failure in the guest is raised after the bytes that came before it."""
    try:
        async for channel, data in stream.output():
            if channel == 1:
                yield data
        await _finish(stream)
    finally:
        stream.close()


async def _finish(stream: Stream) -> None:
    failed = refusal(await asyncio.shield(stream.ended), "")
    if failed is not None:
        raise failed
