"""Whether a port of the guest speaks HTTP, and whether under TLS: one or two short connections made inside the guest.

The agent makes them, so that it is the same with every driver and every network, and nothing leaves the machine. What
comes back is hostile; a few bytes of it are looked at. A server that says nothing costs the time limit.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Literal

from banger import errors
from banger.guest.channel import Channel
from banger.guest.connection import GuestConnection

Scheme = Literal["http", "https"]

SECONDS = 0.7
"""All that a port may take."""

STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])[ \r]")
STATUS_LENGTH = 13
TLS_ANSWER = re.compile(rb"\x16\x03[\x00-\x04]..\x02|\x15\x03[\x00-\x04]\0\x02[\x01\x02]", re.DOTALL)
TLS_LENGTH = 6
"""The beginning of a server's hello, which an echo of a client's is not; or of its refusal (RFC 8446, 4 to 6)."""

OTHERS = frozenset((
    7, 9, 13, 19, 21, 22, 23, 25, 37, 43, 53, 79, 110, 111, 119, 135, 139, 143, 179, 389, 445, 464, 465, 512, 513, 514,
    515, 554, 587, 636, 853, 873, 989, 990, 993, 995, 1433, 1521, 1883, 2049, 3268, 3306, 3389, 4369, 5060, 5222, 5269,
    5432, 5672, 5900, 6379, 6667, 9042, 9092, 11211, 27017,
))  # fmt: skip
"""Ports that belong to other protocols by custom: nothing is ever written to them."""


async def scheme(channel: Channel, port: int, host: str = "127.0.0.1") -> Scheme | None:
    """How a browser would reach the port, by its numeric address in the guest; None where it would not."""
    if port in OTHERS:
        return None
    found = None
    with contextlib.suppress(TimeoutError, errors.GuestRefused):
        async with asyncio.timeout(SECONDS):
            found = STATUS.match(await _answer(channel, port, host, _head(host, port), STATUS_LENGTH))
            if found and found[1] != b"400":  # which is also what some say to who speaks no TLS to them
                return "http"
            if TLS_ANSWER.match(await _answer(channel, port, host, _hello(), TLS_LENGTH)):
                return "https"
    return "http" if found else None


def _head(host: str, port: int) -> bytes:
    named = f"[{host}]" if ":" in host else host
    return f"HEAD / HTTP/1.0\r\nHost: {named}:{port}\r\nUser-Agent: banger\r\nConnection: close\r\n\r\n".encode()


def _hello() -> bytes:
    """A ClientHello: the first thing that a TLS client says."""
    import ssl  # loaded by the first port that asks for it

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is said to it after this
    out = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out).do_handshake()
    return out.read()


async def _answer(channel: Channel, port: int, host: str, question: bytes, length: int) -> bytes:
    """The first ``length`` bytes that come back, or as many as there are."""
    answer = b""
    async with _dialled(channel, port, host) as connection:
        await connection.write(question)
        while len(answer) < length and (data := await connection.read()):
            answer += data[:length]
    return answer


@contextlib.asynccontextmanager
async def _dialled(channel: Channel, port: int, host: str) -> AsyncIterator[GuestConnection]:
    connection = await channel.dial(port, host)
    try:
        yield connection
    finally:
        await connection.close()
