"""Sockets between us and a monitor.

Listening sockets are made here and handed to it: so they exist with their permissions before the monitor
runs, need no waiting for, and a monitor that dies at its start is noticed at once: its end of a connection closes. An
unprivileged monitor needs no right to the directory.
"""

import asyncio
import contextlib
import os
import socket

from banger import errors
from banger.paths import SOCKET_PATH_MAX

_QUEUE_PAUSE = 0.02


def listen(path: str) -> socket.socket:
    """A unix socket that only its owner can connect to; one that is left over is replaced."""
    if len(os.fsencode(path)) > SOCKET_PATH_MAX:
        raise errors.UnsafeDirectory(path=path, reason=f"a socket's path holds at most {SOCKET_PATH_MAX} bytes")
    remove(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        os.chmod(path, 0o600)
        listener.listen(8)
    except OSError:
        listener.close()
        remove(path)
        raise
    return listener


async def connect(path: str) -> socket.socket:
    """A connection to a listening socket, non-blocking. Raises `errors.AgentLost` when nobody listens there.

    A listener whose queue is full (EAGAIN, unix(7)) is waited for; the caller sets the limit.
    """
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        while True:
            try:
                client.connect(path)
                return client
            except BlockingIOError:
                await asyncio.sleep(_QUEUE_PAUSE)
    except BaseException as error:
        client.close()
        if isinstance(error, OSError):
            raise errors.AgentLost(reason=error.strerror or "no connection") from None
        raise


def remove(path: str) -> None:
    """Remove a socket's name; that there is none is fine."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
