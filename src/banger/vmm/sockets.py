"""Listening sockets that a driver makes itself and hands to the monitor.

Made here, they exist with their permissions before the monitor runs, need no waiting for, and a monitor that dies at
its start is noticed at once: its end of a connection closes. An unprivileged monitor needs no right to the directory.
"""

import contextlib
import os
import socket

from banger import errors
from banger.paths import SOCKET_PATH_MAX


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


def remove(path: str) -> None:
    """Remove a socket's name; that there is none is fine."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
