"""Connections to and from a machine's sockets, made by root and handed over.

The sockets lie in ``run/``, where the monitor can put what it likes under any name. So the name is opened without
following it, what was opened is connected to (a descriptor's own path is short, whatever the jail's is), and whoever
listens has to be the monitor. Nobody but root needs to reach into a jail.

The other way round, a guest's own connection comes to a socket that lies there before the monitor does. Its name may be
gone, or another's, as soon as the monitor runs; who accepts goes by the descriptor, and the directories above keep
everybody but the monitor's user from it.
"""

import os
import socket
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from . import cgroup, grammar, jail, process
from .host import Host
from .operation import Failed, Operation, Outcome, Refused

_CREDENTIALS = struct.Struct("3i")
_WAITING = 4
"""Connections that wait to be accepted: one is expected. A guest that makes more holds up its own monitor."""


@dataclass(frozen=True, kw_only=True)
class Connect(Operation):
    """Connect to the monitor's API, or to the guest's sockets behind it; the caller gets the connection."""

    NAME: ClassVar[str] = "machine.connect"
    GATE: ClassVar[str] = (
        "Any socket but the two of a machine's jail, reached without a link, that the machine's monitor listens on."
    )

    vm_id: str
    socket: str

    def validate(self, host: Host) -> None:
        grammar.vm_id(self.vm_id)
        if self.socket not in jail.SOCKETS:
            raise Refused(f"{self.socket[:80]!r} is not a socket of a machine's: {', '.join(jail.SOCKETS)}")

    def turn(self) -> str:
        return ""

    def describe(self) -> str:
        return f"connect to the {self.socket} socket of machine {self.vm_id}"

    def execute(self, host: Host, descriptors: Sequence[int] = ()) -> Outcome:
        self.validate(host)
        return Outcome(descriptors=(to_monitor(host, self.vm_id, self.socket),))

    def undo(self, host: Host) -> None:
        """A connection is the caller's to close."""


def to_monitor(host: Host, vm_id: str, name: str) -> int:
    """A connection to a socket of `jail.SOCKETS`; the caller closes it. Raises `Failed`, `Refused`."""
    with jail.at(host, vm_id) as root:
        uid = None if root is None else jail.owner(host, root)
        if root is None or uid is None:
            raise Failed(f"{vm_id} has no jail")
        held = opened(root, jail.SOCKETS[name], uid, stat.S_IFSOCK)
        try:
            return _connect(host, vm_id, held, uid)
        finally:
            os.close(held)


def opened(root: int, name: str, uid: int, kind: int) -> int:
    """What lies in ``run/`` by that name, as an O_PATH descriptor that the caller closes; nothing is followed or begun.

    ``kind`` is what it has to be, in the words of stat(2). Raises `Refused` for anything else, `Failed` for nothing.
    """
    try:
        run = os.open(jail.RUN, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
        try:
            held = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=run)
        finally:
            os.close(run)
    except FileNotFoundError:
        raise Failed(f"there is no {name} yet", busy=True) from None
    except OSError as error:
        raise Refused(f"{name}: {error.strerror}") from None
    found = os.fstat(held)
    if stat.S_IFMT(found.st_mode) != kind or found.st_uid != uid:
        os.close(held)
        raise Refused(f"{name} is not a {'socket' if kind == stat.S_IFSOCK else 'pipe'} of uid {uid}")
    return held


def listen(root: int, uid: int) -> socket.socket:
    """A socket for what the guest connects to the host, in a jail whose monitor has not begun; the caller closes it."""
    run = os.open(jail.RUN, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(listening.fileno(), 0o600)  # the mode that its name gets
        listening.bind(f"/proc/self/fd/{run}/{jail.DOORBELL}")
        os.chown(jail.DOORBELL, uid, uid, dir_fd=run, follow_symlinks=False)
        listening.listen(_WAITING)
        return listening
    except BaseException:
        listening.close()
        raise
    finally:
        os.close(run)


def _connect(host: Host, vm_id: str, name: int, uid: int) -> int:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)  # a monitor that does not accept must not hold the helper
        try:
            connection.connect(f"/proc/self/fd/{name}")
        except OSError as error:
            raise Failed(f"nobody answers: {error.strerror}", busy=True) from None
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, user, _ = _CREDENTIALS.unpack(credentials)
        if user != uid or pid not in cgroup.pids(host, vm_id):
            if user == uid and process.start_ticks(pid) is None:
                raise Failed(f"the monitor of {vm_id} has ended")
            raise Refused(f"process {pid} of uid {user} listens, which is not the monitor of {vm_id}")
        connection.setblocking(True)
        return connection.detach()
