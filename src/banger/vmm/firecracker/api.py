"""Firecracker's API as a client sees it: HTTP/1.1 with JSON bodies, over a unix socket that is connected already.

The other end has a hostile guest inside: heads and bodies are bounded, whatever is not HTTP ends the connection, and
every answer has a time limit. A monitor that is silent is an error, not something to wait for.
"""

import asyncio
import contextlib
import re
import socket
from types import TracebackType
from typing import Any

import msgspec

from banger.text import printable
from banger.vmm.firecracker.resources import Request

TIMEOUT = 30.0
"""Seconds for one answer. Firecracker itself gives its processors 30 s to pause; a start reads the kernel."""

HEAD_LIMIT = 16 << 10
BODY_LIMIT = 1 << 20

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d{1,9}) *(?=\r\n)", re.IGNORECASE)


class ApiError(Exception):
    """Firecracker refused a request, or the connection broke; the text says which, and is safe to print."""


class Client:
    """A conversation. Use as ``async with Client(connected) as api``; the socket is the client's from then on."""

    def __init__(self, connected: socket.socket, timeout: float = TIMEOUT) -> None:
        self._socket = connected
        self._timeout = timeout
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> "Client":
        try:
            self._socket.setblocking(False)
            opened = await asyncio.open_unix_connection(sock=self._socket, limit=HEAD_LIMIT)
        except BaseException:
            self._socket.close()
            raise
        self._reader, self._writer = opened
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def send(self, *requests: Request) -> Any:
        """Make requests, one behind the other without a pause; what the last returns, None for no body.

        All are made, whatever becomes of the first. Raises `ApiError` for the first that is refused.
        """
        if self._writer is None:
            raise ApiError("not connected")
        self._writer.write(b"".join(map(_encoded, requests)))
        body = None
        for request in requests:
            body = await self._answered(request)
        return body

    async def _answered(self, request: Request) -> Any:
        if self._reader is None or self._writer is None:
            raise ApiError("not connected")
        what = f"{request.METHOD} {request.path}"
        try:
            async with asyncio.timeout(self._timeout):
                await self._writer.drain()
                status, body = await _answer(self._reader)
        except BaseException as error:
            await self._close()  # whatever comes now would answer the wrong request
            match error:
                case TimeoutError():
                    raise ApiError(f"{what}: no answer within {self._timeout:g} s") from None
                case asyncio.IncompleteReadError():
                    raise ApiError(f"{what}: Firecracker closed the connection") from None
                case asyncio.LimitOverrunError():
                    raise ApiError(f"{what}: the head of the answer is too long") from None
                case OSError():
                    raise ApiError(f"{what}: {error.strerror or error}") from None
                case ApiError():
                    raise ApiError(f"{what}: {error}") from None
            raise
        if 200 <= status < 300:
            return body
        fault = body.get("fault_message") if isinstance(body, dict) else None
        raise ApiError(f"{what}: {printable(str(fault)) if fault else f'status {status}'}")

    async def _close(self) -> None:
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def _encoded(request: Request) -> bytes:
    body = request.body()
    head = f"{request.METHOD} {request.path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode("ascii") + b"\r\n" + body


async def _answer(reader: asyncio.StreamReader) -> tuple[int, Any]:
    """Status and decoded body of the next answer; interim answers (1xx) are passed over."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        status = _STATUS.match(head)
        if status is None or not head.startswith(status[0] + b"\r\n"):
            raise ApiError("the answer is not HTTP")
        if b"\r\ntransfer-encoding:" in head.lower():
            raise ApiError("the answer is in a form that Firecracker does not use")
        if int(status[1]) >= 200:
            break
    given = _LENGTH.search(head)
    length = int(given[1]) if given else 0
    if length > BODY_LIMIT:
        raise ApiError(f"an answer of {length} bytes is too long")
    body = await reader.readexactly(length)
    if not body:
        return int(status[1]), None
    try:
        return int(status[1]), msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise ApiError("the answer is no JSON") from None
