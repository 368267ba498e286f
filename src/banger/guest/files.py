"""Files in and out of a guest as tar streams. What comes out is hostile; whoever writes it to disk judges it."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import NamedTuple

from banger import errors
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


class State(NamedTuple):
    """What a name in a guest is; see stat(2). ``mode`` has the kind as well."""

    mode: int
    size: int
    mtime_ns: int


RECORD = struct.Struct("<I4xQq")
NAMES_LIMIT, REQUEST_LIMIT = 8192, 200 << 10
"""Names of one request, and bytes that they take of it."""


async def states(ask: Callable[[Sequence[bytes]], Awaitable[Stream]], names: Sequence[bytes]) -> list[State | None]:
    """What names are, None for those that are not there; ``ask`` sends a request for some of them.

    Raises `errors.GuestRefused`, `errors.ProtocolViolation`.
    """
    found: list[State | None] = []
    for some in _batches(names):
        told = bytearray()
        async with contextlib.aclosing(get(await ask(some))) as pieces:
            async for piece in pieces:
                told += piece
                if len(told) > len(some) * RECORD.size:
                    break
        if len(told) != len(some) * RECORD.size:
            raise errors.ProtocolViolation(reason="not one state for each name")
        found += [State(*each) if each[0] else None for each in RECORD.iter_unpack(told)]
    return found


def _batches(names: Sequence[bytes]) -> Iterator[list[bytes]]:
    some: list[bytes] = []
    size = 0
    for each in names:
        size += len(each) + 5
        if some and (size > REQUEST_LIMIT or len(some) == NAMES_LIMIT):
            yield some
            some, size = [], len(each) + 5
        some.append(each)
    if some:
        yield some


async def _finish(stream: Stream) -> None:
    failed = refusal(await asyncio.shield(stream.ended), "")
    if failed is not None:
        raise failed
