"""Find the daemon, or start it: the first command on a machine needs no set-up, and no service.

Where banger is installed as a system service, its owner's and root's commands only find it: they wait for one that
systemd is about to start, as at the host's boot, and start none.

One client at a time starts it (``start.lock``); the others wait and find it. The daemon outlives the client, in a
session of its own, with its output appended to its log.
"""

import fcntl
import os
import time

from banger import errors
from banger.api import routes
from banger.paths import SERVICE, Paths
from banger.sdk import connection, transport
from banger.text import printable

PATIENCE = 30.0
"""How long a starting daemon may take until it answers, in seconds."""

SERVICE_PATIENCE = 90.0
"""How long one that systemd starts may take; a host that boots has other things to start as well."""

PASSED_ON = ("BANGER_", "XDG_", "PYTHON")
"""Variables that say where the daemon keeps things and where its code is; the rest is rebuilt by `banger.proc`."""


def answers(socket: str, patience: float) -> bool:
    """Whether a daemon answers at ``socket``. One that starts listens before it can answer; it is waited for."""
    client = transport.Transport(socket, timeout=patience)
    try:
        client.request(routes.DAEMON_STATUS.method, routes.DAEMON_STATUS.path).read()
    except errors.DaemonUnreachable:
        return False
    finally:
        client.close()
    return True


def ensure(paths: Paths) -> None:
    """Return when a daemon answers at its socket, after starting it where there was none.

    The daemon of the system installation is systemd's to start: where it does not answer, that is the error.

    Raises `errors.DaemonUnreachable` with the last line of the daemon's log, and `errors.UnsafeDirectory`.
    """
    if paths.system:
        _await_service(paths)
        return
    _make_private(paths.runtime)
    os.makedirs(paths.state, mode=0o700, exist_ok=True)
    lock = os.open(paths.start_lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not answers(paths.socket, PATIENCE):
            _start(paths)
    finally:
        os.close(lock)


def _await_service(paths: Paths) -> None:
    deadline = time.monotonic() + SERVICE_PATIENCE
    while not answers(paths.socket, PATIENCE):
        coming = _is_coming()
        if not coming and not answers(paths.socket, PATIENCE):  # it may have come in between
            raise connection.unreachable(paths.socket, "the service is not running")
        if time.monotonic() > deadline:
            raise connection.unreachable(paths.socket, f"it did not answer within {SERVICE_PATIENCE:.0f} s")
        time.sleep(0.2)


def _is_coming() -> bool:
    """Whether systemd starts the service now, or is about to: at boot, or after an end that was none of its own."""
    from banger import proc

    try:
        said = proc.ask(["systemctl", "show", "--property=ActiveState,Job", SERVICE], timeout=10)
    except errors.BangerError:
        return False
    found = dict(line.partition("=")[::2] for line in said.splitlines())
    return found.get("ActiveState") in ("activating", "deactivating") or bool(found.get("Job"))


def _make_private(directory: str) -> None:
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
    except FileExistsError:
        pass  # something else is there: the check says what
    except OSError as error:
        raise errors.UnsafeDirectory(path=directory, reason=(error.strerror or str(error)).lower()) from error
    connection.check_directory(directory)


def _start(paths: Paths) -> None:
    import sys

    from banger import proc  # loads asyncio and subprocess: only a start pays for them

    position = _size(paths.daemon_log)
    extra = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
    if "PYTHONPATH" in extra:  # the daemon's working directory is another one
        extra["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, extra["PYTHONPATH"].split(os.pathsep)))
    started = proc.spawn([sys.executable, "-m", "banger.daemon.main"], log=paths.daemon_log, env=extra)
    deadline = time.monotonic() + PATIENCE
    pause = 0.01
    while not answers(paths.socket, max(0.1, deadline - time.monotonic())):
        if not proc.alive(started):
            raise connection.unreachable(paths.socket, f"it ended at once: {_last_line(paths.daemon_log, position)}")
        if time.monotonic() > deadline:
            said = _last_line(paths.daemon_log, position)
            raise connection.unreachable(paths.socket, f"it did not answer within {PATIENCE:.0f} s: {said}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _last_line(path: str, position: int) -> str:
    """The last line that was written to a log after ``position`` and begins one, fit to be shown."""
    try:
        with open(path, "rb") as log:
            log.seek(max(position, _size(path) - 4096))
            lines = [line for line in log.read(4096).splitlines() if line and not line[:1].isspace()]
    except FileNotFoundError:
        lines = []
    return printable(lines[-1]) if lines else "its log says nothing"
