"""The daemon's socket: connected to only where it, its directory and who listens there are whom we trust.

That is ourselves and root; root also deals with the owner of the system installation.

`_socket` is the part of `socket` that is written in C. The other part makes enumerations and loads selectors, which
takes longer than a verb's own work.
"""

import _socket
import os
import stat

import banger
from banger import paths


def unreachable(path: str, reason: str) -> "banger.errors.DaemonUnreachable":
    """The error for a daemon that does not answer as it should."""
    ours = paths.Paths.from_environment()
    error = banger.errors.DaemonUnreachable(socket=path, reason=reason, log=ours.daemon_log)
    if ours.system and path == ours.socket:
        error.advise(banger.errors.RESTART_SYSTEM)
    return error


def check_directory(path: str) -> None:
    """Refuse a socket's directory that others could have made or can write to.

    Raises `errors.UnsafeDirectory`; a directory that does not exist is fine, because nobody can listen in it.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode):
        raise banger.errors.UnsafeDirectory(path=path, reason="it is not a directory")
    _check_owner(path, found.st_uid)
    if found.st_mode & 0o022:
        raise banger.errors.UnsafeDirectory(path=path, reason="others may write to it")


def _check_owner(path: str, owner: int) -> None:
    """Refuse what belongs to neither us nor root; root also deals with the owner of the system installation."""
    uid = os.geteuid()
    if owner not in (uid, 0) and not (uid == 0 and owner == paths.installed_owner()):
        raise banger.errors.UnsafeDirectory(path=path, reason=f"it belongs to uid {owner}")


def connect(path: str, timeout: float | None) -> _socket.socket:
    """A connection to the daemon, whose socket and process belong to us, to root or, for root, to the installation.

    Raises `errors.DaemonUnreachable`, `errors.UnsafeDirectory`, `errors.PermissionRefused`.
    """
    check_directory(os.path.dirname(path))
    opened = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        opened.settimeout(timeout)
        opened.connect(path)
        credentials = opened.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
        _, uid, _ = memoryview(credentials).cast("I")  # struct ucred, of unix(7): pid, uid, gid
        _check_owner(path, uid)
    except PermissionError:
        opened.close()
        raise banger.errors.PermissionRefused(uid=os.geteuid(), owner=os.stat(path).st_uid) from None
    except OSError as error:
        opened.close()
        raise unreachable(path, reason_of(error)) from error
    except banger.errors.BangerError:
        opened.close()
        raise
    return opened


def reason_of(error: OSError) -> str:
    """Why a connection was not made or has ended, in words."""
    if isinstance(error, FileNotFoundError):
        return "nothing listens there"
    if isinstance(error, ConnectionRefusedError):
        return "it has ended"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    return (error.strerror or str(error)).lower()
