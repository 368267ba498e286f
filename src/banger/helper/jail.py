"""Jails: the directory that a machine's monitor sees as its root. What is in one, who may write where, how it goes.

On disk, below root's own directory, all of it on one file system:

    jails/firecracker/<id>/      root, 0700: nobody but root gets any further
      root/                      the monitor's root directory; root, 0710; its group, the slot's, tells whose it is
        vmlinux, <name>          links to stored files, read-only
        initrd                   the machine's own, read-only
        root, work               the machine's disks: block nodes, the slot's user, 0600
        firecracker, dev/        the jailer's: a copy of the monitor, the devices that it may open
        run/                     the slot's user, 0700: the sockets, and all that a monitor can ever write
          metrics                a pipe for the monitor's metrics, whose reading end the owner may have
          vsock.sock_1024        where the monitor brings what its guest connects to the host, while the owner listens

The jailer gives its whole tree to the slot's user; `settle` takes back everything but ``run/``. A jail that exists is
never used again: the jailer follows links and reuses what it finds (CVE-2026-1386), so it only ever gets a fresh one.
Whatever a monitor has done inside ``run/``, `remove` neither follows nor recurses into.
"""

import contextlib
import ctypes
import fcntl
import itertools
import os
import re
import secrets
import stat
from collections.abc import Iterator

from . import grammar, store
from .host import Host
from .operation import Failed, Refused

NAME = "firecracker"
"""The monitor's file name, which the jailer makes a directory of."""

RUN = "run"
METRICS = f"{RUN}/metrics"
SOCKETS = {"api": "api.sock", "vsock": "vsock.sock"}
DOORBELL = f"{SOCKETS['vsock']}_1024"
"""Firecracker's own form: the socket of its vsock, and the port that the guest has named."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BATCH = 1000
_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8

_libc = ctypes.CDLL(None, use_errno=True)


def refuse_nodev(path: str) -> None:
    """Raises `Failed` where device nodes or programs below ``path`` are of no use: a jail has both."""
    flags = os.statvfs(path).f_flag
    for name, flag in (("nodev", os.ST_NODEV), ("noexec", os.ST_NOEXEC)):
        if flags & flag:
            raise Failed(f"{path} is on a file system that is mounted {name}: jails cannot be there")


def make(host: Host, vm_id: str, uid: int) -> int:
    """A fresh jail for that user; its root directory, open; the caller closes it.

    Raises `Refused` when the machine has one, or another machine's jail or anybody's process has the user.
    """
    refuse_nodev(host.private)
    with opened(host) as parent:
        fcntl.flock(parent, fcntl.LOCK_EX)  # between the look at the others and the mark on ours
        _refuse_other(parent, vm_id, uid)
        try:
            os.mkdir(vm_id, 0o700, dir_fd=parent)
        except FileExistsError:
            raise Refused(f"{vm_id} has a jail already, which must be removed first") from None
        except OSError as error:
            raise Failed(f"{host.jails}: {error.strerror}") from None
        try:
            return _furnish(parent, vm_id, uid)
        except OSError as error:
            remove(host, vm_id)
            raise Failed(f"the jail of {vm_id}: {error.strerror}") from None


def _furnish(parent: int, vm_id: str, uid: int) -> int:
    with _within(parent, vm_id) as directory:
        os.mkdir("root", 0o700, dir_fd=directory)
        with _within(directory, "root") as root:
            os.fchown(root, 0, uid)
            os.fchmod(root, 0o710)
            os.mkdir(RUN, 0o700, dir_fd=root)
            os.chown(RUN, uid, uid, dir_fd=root, follow_symlinks=False)
            os.mkfifo(METRICS, 0o600, dir_fd=root)  # a pipe holds so much and no more: the monitor drops the rest
            os.chown(METRICS, uid, uid, dir_fd=root, follow_symlinks=False)
            return os.dup(root)


def find(host: Host, vm_id: str) -> int | None:
    """The root directory of a machine's jail, open; None when it has none, or not so far."""
    with contextlib.suppress(FileNotFoundError), opened(host) as parent, _within(parent, vm_id) as directory:
        return os.open("root", _DIRECTORY, dir_fd=directory)
    return None


@contextlib.contextmanager
def at(host: Host, vm_id: str) -> Iterator[int | None]:
    """As `find`, closed at the end."""
    root = find(host, vm_id)
    try:
        yield root
    finally:
        if root is not None:
            os.close(root)


def owner(host: Host, root: int) -> int | None:
    """The user that a jail is for; None when it was not made so far."""
    group = os.fstat(root).st_gid
    return group if host.first_uid <= group < host.first_uid + host.uid_count else None


def settle(root: int, uid: int) -> None:
    """Take back what the jailer gave away: the monitor can write below ``run/`` alone."""
    for path in ("dev/net", "dev", "."):
        with contextlib.suppress(FileNotFoundError):
            directory = _walk(root, path)
            try:
                os.fchown(directory, 0, uid)
                os.fchmod(directory, 0o710)
            finally:
                os.close(directory)
    os.chown(NAME, 0, 0, dir_fd=root, follow_symlinks=False)


def machines(host: Host) -> list[str]:
    """The ids of the machines that have a jail, or the beginning of one."""
    with opened(host) as parent:
        return [name for name in os.listdir(parent) if re.fullmatch("[0-9a-f]{16}", name)]


def remove(host: Host, vm_id: str) -> None:
    """Remove a machine's jail, in which nothing runs any more. Raises `Failed`."""
    path = os.path.join(host.jails, NAME, grammar.vm_id(vm_id))
    _detach(path)
    with opened(host) as parent:
        try:
            with _within(parent, vm_id) as directory:
                clear(directory)
            os.rmdir(vm_id, dir_fd=parent)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise Failed(f"{path}: {error.strerror}") from None


def clear(top: int) -> None:
    """Empty a directory that nobody else writes to, whatever is in it, in bounded memory and with few descriptors.

    No link is followed. Directories inside directories are moved up to ``top`` rather than descended into, so that no
    depth exhausts anything.
    """
    device = os.fstat(top).st_dev
    fresh = (f"{secrets.token_hex(16)}-{number}" for number in itertools.count())
    while names := _some(top):
        for name in names:
            if _unlink(top, name):
                continue
            with _within(top, name) as directory:
                if os.fstat(directory).st_dev != device:
                    raise Failed("another file system is mounted in the jail")
                while inner := _some(directory):
                    for each in inner:
                        if not _unlink(directory, each):
                            os.rename(each, next(fresh), src_dir_fd=directory, dst_dir_fd=top)
            os.rmdir(name, dir_fd=top)


@contextlib.contextmanager
def opened(host: Host) -> Iterator[int]:
    """The directory of all jails, made if need be."""
    jails = store.open_own(host, "jails")
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(NAME, 0o700, dir_fd=jails)
        with _within(jails, NAME) as directory:
            yield directory
    finally:
        os.close(jails)


@contextlib.contextmanager
def _within(parent: int, name: str) -> Iterator[int]:
    try:
        directory = os.open(name, _DIRECTORY, dir_fd=parent)
    except NotADirectoryError:
        raise Failed(f"{name} among the jails is no directory") from None
    try:
        yield directory
    finally:
        os.close(directory)


def _walk(root: int, path: str) -> int:
    directory = os.open(".", _DIRECTORY, dir_fd=root)
    for name in path.split("/"):
        try:
            below = os.open(name, _DIRECTORY, dir_fd=directory)
        finally:
            os.close(directory)
        directory = below
    return directory


def _refuse_other(parent: int, vm_id: str, uid: int) -> None:
    for name in os.listdir(parent):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found = os.stat(f"{name}/root", dir_fd=parent, follow_symlinks=False)
            if name != vm_id and stat.S_ISDIR(found.st_mode) and found.st_gid == uid:
                raise Refused(f"the slot is taken: uid {uid} has the jail of {name}")


def _some(directory: int) -> list[str]:
    with os.scandir(directory) as entries:
        return [each.name for each in itertools.islice(entries, _BATCH)]


def _unlink(directory: int, name: str) -> bool:
    """Remove what is no directory; False for a directory."""
    try:
        os.unlink(name, dir_fd=directory)
    except IsADirectoryError:
        return False
    return True


def _detach(path: str) -> None:
    """Detach what is mounted at or below ``path``, deepest first."""
    with open("/proc/self/mountinfo", "rb") as file:
        escaped = [line.split(b" ")[4] for line in file]
    mounted = (re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), each) for each in escaped)
    wanted = os.fsencode(path)
    for each in reversed([each for each in mounted if each == wanted or each.startswith(wanted + b"/")]):
        if _libc.umount2(each, _MNT_DETACH | _UMOUNT_NOFOLLOW) != 0:
            raise Failed(f"{os.fsdecode(each)!r} cannot be detached: {os.strerror(ctypes.get_errno())}")
