"""What the daemon answers: a document, an error, or a stream.

A stream's status is decided by its first piece: what fails before it is an ordinary error reply. What fails later can
only be told by breaking the chunked body, so that no client takes a part for the whole.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from banger import errors
from banger.engine.failure import error_body

LOG = logging.getLogger("banger.daemon")

JSON = "application/json"
NDJSON = "application/x-ndjson"
BYTES = "application/octet-stream"
TAR = "application/x-tar"


class BrokenStream(Exception):
    """Makes the server close the connection in the middle of a body; it has been logged where it was raised."""


def json_reply(document: object, status: int = 200) -> Response:
    """A structure as JSON."""
    return Response(msgspec.json.encode(document), status, media_type=JSON)


def error_reply(error: BaseException, *, close: bool = False) -> Response:
    """A failure as its `ErrorBody`, with the status of its class."""
    status = error.http if isinstance(error, errors.BangerError) else errors.InternalError.http
    headers = {"connection": "close"} if close else None
    return Response(msgspec.json.encode(error_body(error)), status, media_type=JSON, headers=headers)


class Stream:
    """A chunked body of what ``chunks`` yields, as fast as the client takes it.

    Ends when the chunks do, when the client is gone, or when ``stopping`` is set. ``chunks`` is closed in each case.
    """

    def __init__(self, chunks: AsyncIterator[bytes], media_type: str, stopping: asyncio.Event) -> None:
        self._chunks = chunks
        self._media_type = media_type
        self._stopping = stopping
        self._first: bytes | None = None

    async def begin(self) -> "Stream":
        """Wait for the first piece; raises what keeps it from coming."""
        self._first = await anext(self._chunks, None)
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pump = asyncio.create_task(self._pump(send))
        others = [asyncio.create_task(_client_gone(receive)), asyncio.create_task(self._stopping.wait())]
        try:
            await asyncio.wait([pump, *others], return_when=asyncio.FIRST_COMPLETED)
            if not pump.done() and self._stopping.is_set():
                raise BrokenStream("the daemon ends")
        finally:
            for task in (pump, *others):
                task.cancel()
            await asyncio.wait([pump, *others])
            await close_quietly(self._chunks)
        if not pump.cancelled() and (failure := pump.exception()) is not None:
            LOG.warning("a stream broke: %s", error_body(failure).message)
            raise BrokenStream(str(failure))

    async def _pump(self, send: Send) -> None:
        headers = [(b"content-type", self._media_type.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if self._first is not None:
            first, self._first = self._first, None
            await send({"type": "http.response.body", "body": first, "more_body": True})
            async for chunk in self._chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def close_quietly(chunks: AsyncIterator[bytes]) -> None:
    """Close an iterator that may hold something open; what it says then has no reader."""
    close = getattr(chunks, "aclose", None)
    if close is not None:
        with contextlib.suppress(errors.BangerError):
            await close()
