"""What only its owner may touch: the runtime directory, the lock of the one daemon, the socket.

Invariants:

- The runtime directory is a real directory of ours with mode 0700, and nobody else can put another in its place: every
  directory above it belongs to us or to root and is not writable by others, unless it is sticky (``/tmp``).
- One daemon at a time holds the lock on ``bangerd.lock`` (flock(2): it ends with the process, however that ends). Who
  holds it may replace a stale socket.
- The socket is 0600 from its birth: it is bound under a umask, not changed afterwards.
"""

import contextlib
import fcntl
import os
import socket
import stat

from banger import errors
from banger.paths import SOCKET_PATH_MAX

BACKLOG = 128


def private_directory(path: str) -> None:
    """Make sure that ``path`` is a directory that is ours alone. Raises `errors.UnsafeDirectory`."""
    _check_above(os.path.dirname(path))
    with contextlib.suppress(FileExistsError):
        os.makedirs(path, mode=0o700)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        what = "it is a symbolic link" if os.path.islink(path) else "it is not a directory that we can open"
        raise errors.UnsafeDirectory(path=path, reason=what) from None
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            raise errors.UnsafeDirectory(path=path, reason=f"it belongs to uid {found.st_uid}")
        if stat.S_IMODE(found.st_mode) != 0o700:
            os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)


def _check_above(path: str) -> None:
    """Check every directory from the root down to ``path``, those behind symbolic links included."""
    ours = (0, os.geteuid())
    for each in _ancestors(path) + _ancestors(os.path.realpath(path)):
        try:
            found = os.lstat(each)
        except FileNotFoundError:
            return  # we make it and what is below it ourselves
        if found.st_uid not in ours:
            raise errors.UnsafeDirectory(path=path, reason=f"{each} belongs to uid {found.st_uid}")
        loose = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX
        if loose and not stat.S_ISLNK(found.st_mode):
            raise errors.UnsafeDirectory(path=path, reason=f"others may write to {each}")


def _ancestors(path: str) -> list[str]:
    found = []
    while path not in ("/", ""):
        found.append(path)
        path = os.path.dirname(path)
    return [*reversed(found)]


class Lock:
    """The right to be the daemon of a runtime directory, for as long as this process lives."""

    def __init__(self, path: str) -> None:
        """Raises `errors.DaemonRunning` when another process has it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise errors.DaemonRunning(pid=pid) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._descriptor)


def listen(path: str) -> socket.socket:
    """A listening socket at ``path``, mode 0600. Only for who holds the lock: a socket that is there is stale.

    Raises `errors.UnsafeDirectory` when something else is there, `errors.UsageError` when the path is too long.
    """
    if len(os.fsencode(path)) > SOCKET_PATH_MAX:
        raise errors.UsageError(
            detail=f"{path} is too long for a socket ({SOCKET_PATH_MAX} bytes); set BANGER_RUNTIME_DIR to a shorter one"
        )
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise errors.UnsafeDirectory(path=path, reason="it is not a socket")
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        listener.bind(path)
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(before)
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener
