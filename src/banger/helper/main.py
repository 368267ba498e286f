"""bangerd-root: ``python3 -IS bangerd-root.pyz [--record FILE]``.

Started by systemd, which may hand over the listening socket (sd_listen_fds(3)) and is told when we are ready
(sd_notify(3)); or by hand, and then it makes its socket itself, the owner's and 0600. What it may do is in the install
record alone: nothing is read from the environment but what systemd says.
"""

import errno
import os
import resource
import socket
import stat
import sys
from collections.abc import Mapping, Sequence

from . import host, journal, nftables, readiness, registry
from .server import Server

FIRST = 3
"""The number of the first descriptor that systemd passes."""
BACKLOG = 64


class CannotStart(Exception):
    """What the status 1 is about."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    record = host.RECORD
    if given[:1] == ["--record"] and len(given) == 2:
        record = given[1]
    elif given:
        sys.stderr.write("usage: bangerd-root.pyz [--record FILE]\n")
        return 2
    environment = dict(os.environ)
    os.environ.clear()
    try:
        if os.geteuid() != 0:
            raise CannotStart("bangerd-root is root's")
        _settle()
        allowed = host.load(record)
        listener = inherited(environment) or bound(allowed)
    except (CannotStart, host.BadRecord, OSError) as error:
        sys.stderr.write(f"bangerd-root: {error}\n")
        return 1
    with listener:
        nftables.preload()
        server = Server(listener, allowed, registry.BY_NAME)
        _tell(environment, readiness.READY)
        journal.tell(outcome="serving", owner=allowed.owner_uid, operations=len(registry.BY_NAME))
        server.run()
        _tell(environment, readiness.STOPPING)
    return 0


def _settle() -> None:
    """No input, no directory of anybody's, no core file, and what is made is ours alone."""
    os.umask(0o077)
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.close(null)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def inherited(environment: Mapping[str, str]) -> socket.socket | None:
    """The listening socket that systemd passed, or None. Raises `CannotStart` for anything else that it passed."""
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return None
    if environment.get("LISTEN_FDS") != "1":
        raise CannotStart("one socket is expected")
    os.set_inheritable(FIRST, False)
    found = socket.socket(fileno=FIRST)
    listening = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if found.family != socket.AF_UNIX or found.type != socket.SOCK_STREAM or not listening:
        raise CannotStart("what was passed is no listening unix stream socket")
    return found


def bound(allowed: host.Host) -> socket.socket:
    """A socket of our own at its place, in the runtime directory, which is ours alone."""
    os.makedirs(allowed.runtime, mode=0o711, exist_ok=True)
    found = os.lstat(allowed.runtime)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise CannotStart(f"{allowed.runtime} is not a directory of ours alone")
    os.chmod(allowed.runtime, 0o711)  # noqa: S103 - the owner's way to the socket, whatever the umask is
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(allowed.socket)
        listener.bind(allowed.socket)
        os.chmod(allowed.socket, 0o600)
        os.chown(allowed.socket, allowed.owner_uid, allowed.owner_gid)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _remove_stale(path: str) -> None:
    """Take away a socket that nobody listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.setblocking(False)
            probe.connect(path)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError as error:
            if error.errno != errno.EAGAIN:  # its queue is full, so somebody has one
                raise
    raise CannotStart(f"somebody listens on {path} already")


def _tell(environment: Mapping[str, str], state: str) -> None:
    if reason := readiness.notify(environment, state):
        journal.tell(outcome="systemd was not told", reason=reason)
