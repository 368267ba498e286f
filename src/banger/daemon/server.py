"""uvicorn on a socket that already listens, without its signals, its timer and its defaults for the open network."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from banger.daemon.handlers_exec import MESSAGE_LIMIT
from banger.daemon.peer import PeerProtocol, StreamProtocol


class _Server(uvicorn.Server):
    """Ends when ``stopping`` is set. Sleeps when there is nothing to do."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], stopping: asyncio.Event) -> None:
        super().__init__(config)
        self._ready = ready
        self._stopping = stopping

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # they are the daemon's

    async def main_loop(self) -> None:
        self._ready()
        await self._stopping.wait()


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    *,
    ready: Callable[[], None],
    stopping: asyncio.Event,
    farewell: int,
) -> None:
    """Serve until ``stopping`` is set, then for at most ``farewell`` seconds more. ``ready`` is called once it does."""
    config = uvicorn.Config(
        app,
        http=PeerProtocol,
        ws=StreamProtocol,
        ws_max_size=MESSAGE_LIMIT,
        ws_per_message_deflate=False,
        ws_ping_interval=None,  # a unix socket does not fail silently, and stuck stdin would look like silence
        lifespan="off",
        loop="asyncio",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=farewell,
    )
    await _Server(config, ready, stopping).serve(sockets=[listener])
