"""``banger system uninstall``: the host as it was before the installation, but for what users have made.

Units are ended and removed, then the bridge, taps and rules, then files, and the record last: until then it can be
repeated. A directory goes only when nothing is left in it; with ``purge``, the three that hold machines, images and
caches go with what is in them.
"""

import contextlib
import os
import shutil
from typing import NamedTuple

from banger import errors
from banger.paths import RECORD
from banger.privileged.installation import Host, jail, udev
from banger.sdk.client import Client
from banger.system import record, remains, services, shared, units
from banger.system.install import need_root
from banger.system.layout import CACHE, CONFIG, HELPER, LIBRARY, LINKS, MODULES_FILE, VENV
from banger.system.services import DAEMON_SOCKET

DAEMON_CGROUP = f"/sys/fs/cgroup/system.slice/{units.DAEMON_SERVICE}"


class Removed(NamedTuple):
    """What became of it."""

    installed: bool
    """There was an installation, or what an unfinished removal had left of one."""
    stopped: list[str]
    """Machines that were running."""
    kept: list[str]
    """Directories with what users have made."""
    left: list[str]
    """What could not be removed, and why."""


def uninstall(*, purge: bool, force: bool) -> Removed:
    """Remove the installation; with ``force`` its running machines are stopped first.

    It may be repeated: a second one removes what the first has kept. Raises `errors.InstallRefused` while machines run.
    """
    need_root()
    found = record.read()
    if found is None and not os.path.lexists(HELPER):
        host = Host(owner_uid=0, owner_gid=0)
        owned = os.path.isdir(host.state) and os.stat(host.state).st_uid != 0
        return Removed(False, [], _settle(host, purge and owned), [])
    host = found or Host(owner_uid=0, owner_gid=0)
    machines = running(host)
    if machines and not force:
        error = errors.InstallRefused(reason=f"machines are running: {', '.join(machines)}")
        error.advise("stop them first ('banger vm stop'), or let --force do it")
        raise error
    _stop(machines)
    services.end()
    _kill_leftover(host)
    left = remains.clear(host)
    _remove_files(host)
    services.forget(host)
    kept = _settle(host, purge and found is not None)
    if not left:  # until then it can be tried again, and is an installation
        with contextlib.suppress(FileNotFoundError):
            os.unlink(RECORD)
    _remove_empty(CONFIG)
    return Removed(True, machines, kept, left)


def _settle(host: Host, purge: bool) -> list[str]:
    """Remove or keep what users have made; the directories that are kept.

    Without a record there may have been no installation at all, and root's own machines are in the same directories.
    """
    places = [each for each in (host.state, host.private, CACHE) if os.path.isdir(each) and not os.path.islink(each)]
    if purge:
        for each in places:
            _purge(each)
        return []
    return places


def running(host: Host) -> list[str]:
    """Machines that run, by name; those of which the daemon knows nothing, by what holds them."""
    leaves = [path.rpartition("/")[2] for path in _populated(host)]
    try:
        with Client(DAEMON_SOCKET, start=False) as client:
            known = {f"vm-{each.id}": each.name for each in client.vm_list().vms if each.state == "running"}
    except errors.BangerError:
        return leaves + (["those of the daemon, which does not answer"] if _daemon_has_children() else [])
    return [*known.values(), *(each for each in leaves if each not in known)]


def _populated(host: Host) -> list[str]:
    """The machines' leaves, as far as processes are in them."""
    found = []
    with contextlib.suppress(OSError):
        found = [os.path.join(host.cgroup, name) for name in os.listdir(host.cgroup) if name.startswith("vm-")]
    return [path for path in found if _is_populated(path)]


def _daemon_has_children() -> bool:
    """Whether more than the daemon itself is in its cgroup: monitors that outlive it."""
    try:
        with open(os.path.join(DAEMON_CGROUP, "cgroup.procs"), encoding="ascii") as file:
            pids = {int(each) for each in file.read().split()}
    except OSError:
        return False
    return bool(pids - {services.look(units.DAEMON_SERVICE).pid})


def _is_populated(cgroup: str) -> bool:
    try:
        with open(os.path.join(cgroup, "cgroup.events"), encoding="ascii") as file:
            return "populated 1" in file.read()
    except OSError:
        return False


def _stop(names: list[str]) -> None:
    with contextlib.suppress(errors.BangerError), Client(DAEMON_SOCKET, start=False, timeout=None) as client:
        for name in names:
            with contextlib.suppress(errors.BangerError):
                client.wait(client.vm_stop(name))


def _kill_leftover(host: Host) -> None:
    """What machines have left running: monitors of the daemon's own cgroup, and those in the leaves."""
    for path in (*_populated(host), DAEMON_CGROUP):
        with contextlib.suppress(OSError), open(os.path.join(path, "cgroup.kill"), "w", encoding="ascii") as file:
            file.write("1")


def _remove_files(host: Host) -> None:
    for path, target in LINKS.items():
        with contextlib.suppress(OSError):
            if os.readlink(path) == target:
                os.unlink(path)
    shared.remove("/", host.shared if isinstance(host, record.Record) else ())
    for path in (HELPER, MODULES_FILE, udev.PATH, *(os.path.join(units.DIRECTORY, name) for name in units.NAMES)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(VENV)
    _remove_empty(LIBRARY)
    shutil.rmtree(host.store, ignore_errors=True)  # copies of what users keep
    for path in (f"{host.jails}/{jail.NAME}", host.jails, f"{host.private}/network", host.private):
        _remove_empty(path)


def _remove_empty(path: str) -> None:
    with contextlib.suppress(OSError):
        os.rmdir(path)


def _purge(path: str) -> None:
    """A directory with all that is in it; one that is a mount point stays, empty."""
    for name in os.listdir(path):
        each = os.path.join(path, name)
        if os.path.isdir(each) and not os.path.islink(each):
            shutil.rmtree(each)
        else:
            os.unlink(each)
    _remove_empty(path)
