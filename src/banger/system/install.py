"""``banger system install``: from a host with banger in some environment to one where it is a service.

The order: the host is examined, and nothing has been written yet; files, each in one step; units loaded and started;
both daemons asked until they answer. A step that fails takes back all that came before it, so that the host is as it
was, with the earlier installation running where there was one. What worked may be repeated: that is an upgrade.
"""

import contextlib
import dataclasses
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from typing import NamedTuple

import banger
from banger import errors
from banger.paths import RECORD
from banger.privileged import archive
from banger.privileged.installation import udev, user_ids
from banger.system import checks, environment, files, record, services, shared, units
from banger.system.checks import Finding
from banger.system.layout import CACHE, CONFIG, HELPER, LIBRARY, LINKS, MODULES, MODULES_FILE, VENV, below
from banger.system.record import Record


class Wish(NamedTuple):
    """What the administrator asked for."""

    owner: str
    force: bool = False
    address: str | None = None
    """The bridge's own address with its prefix length; None keeps what is in force."""


class Installed(NamedTuple):
    """What became of it."""

    record: Record
    upgraded: bool
    lacking: list[Finding]
    """What the host had better have."""
    taken: list[str]
    """Names of commands that belong to somebody else, and were left alone."""


def install(wish: Wish, root: str = "/") -> Installed:
    """Install on the host whose file systems are below ``root``; services are started where that is this host.

    Raises `errors.InstallRefused`, and what `services.control` raises; then nothing has changed.
    """
    here = root == "/"
    need_root(here)
    with _alone(root):
        before = record.read(root)
        wanted = decide(wish, before, root)
        lacking = checks.require(checks.examine(wanted)) if here else []
        _check_directories(wanted, root)
        with contextlib.ExitStack() as undo:
            if here:
                undo.callback(_as_before, before, wanted)
            taken = _write(wanted, files.Files(root, undo))
            if here:
                if before is None:
                    undo.callback(services.end)
                services.load_modules(MODULES)
                services.start(wanted)
            undo.pop_all()
        files.settle(root, VENV)
    return Installed(wanted, before is not None, lacking, taken)


def need_root(here: bool = True) -> None:
    """Raises `errors.InstallRefused` for a plain user."""
    if here and os.geteuid() != 0:
        error = errors.InstallRefused(reason="only root can change the system's installation")
        error.advise("run it with sudo")
        raise error


@contextlib.contextmanager
def _alone(root: str) -> Iterator[None]:
    """One at a time: a lock on the units' directory, which leaves no file behind."""
    place = below(root, units.DIRECTORY)
    os.makedirs(place, mode=0o755, exist_ok=True)
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise errors.InstallRefused(reason="another 'banger system' command is at work") from None
    finally:
        os.close(descriptor)


def decide(wish: Wish, before: Record | None, root: str) -> Record:
    """The record of the new installation; what an earlier one decided is kept."""
    owner = checks.owner(wish.owner, wish.force)
    if before is not None and before.owner_uid != owner.pw_uid:
        error = errors.InstallRefused(reason=f"banger is installed here for {before.owner}, and has one owner")
        error.advise("'sudo banger system uninstall' makes room; that user's machines must be deleted or moved first")
        raise error
    kept = dataclasses.asdict(before) if before is not None else {}
    if before is None:
        kept["first_uid"] = checks.free_uids(user_ids(), root)
    kept["shared"] = [*kept.get("shared", ()), *shared.absent(root)]
    if wish.address is not None:
        kept["address"] = wish.address
    kept |= {
        "owner": owner.pw_name,
        "owner_uid": owner.pw_uid,
        "owner_gid": owner.pw_gid,
        "home": owner.pw_dir,
        "version": str(banger.__version__),
        "installed_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    wanted = Record(**kept)
    try:
        _ = wanted.network
    except ValueError as fault:
        raise errors.UsageError(detail=f"--address: {fault}") from None
    return wanted


def _check_directories(wanted: Record, root: str) -> None:
    """Whether what is there already can be the owner's."""
    for path in (wanted.state, CACHE):
        place = below(root, path)
        try:
            found = os.lstat(place)
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(found.st_mode):
            raise errors.InstallRefused(reason=f"{place} is there and is not a directory")
        if root == "/" and found.st_uid != wanted.owner_uid and os.listdir(place):
            error = errors.InstallRefused(reason=f"{place} holds the files of uid {found.st_uid}")
            error.advise(f"move them away, or give them to {wanted.owner}: sudo chown -R {wanted.owner}: {place}")
            raise error
    if root == "/" and record.read(root) is None and not services.daemon_answers(services.DAEMON_SOCKET):
        error = errors.InstallRefused(reason="a daemon of root's own is running")
        error.advise("delete its machines, and 'sudo banger daemon stop'")
        raise error


def _write(wanted: Record, made: files.Files) -> list[str]:
    """Every file; the names of commands that are somebody else's."""
    uid, gid = wanted.owner_uid, wanted.owner_gid
    for path in (LIBRARY, CONFIG, "/usr/local/bin", *map(os.path.dirname, (MODULES_FILE, udev.PATH))):
        if not os.path.isdir(below(made.root, path)):
            made.directory(path, 0o755)
    made.directory(wanted.state, 0o700, uid, gid)
    made.directory(CACHE, 0o700, uid, gid)
    for path in (wanted.private, wanted.store, wanted.jails):
        made.directory(path, 0o711)
    if not _runs_from(VENV):
        made.tree(VENV, lambda place: environment.build(place, VENV))
    shared.link(made)
    made.file(HELPER, archive.content())
    made.file(MODULES_FILE, "".join(f"{name}\n" for name in ("# what machines of banger need", *MODULES)).encode())
    made.file(udev.PATH, udev.rules(wanted).encode())
    for name, text in units.render(wanted, groups=checks.kvm_groups()).items():
        made.file(os.path.join(units.DIRECTORY, name), text.encode())
    taken = [path for path, target in LINKS.items() if not made.link(path, target)]
    made.file(RECORD, wanted.encode())
    return taken


def _runs_from(directory: str) -> bool:
    """Whether the code that runs now is the installed one, which then is no source to install from."""
    return os.path.realpath(banger.__path__[0]).startswith(directory + "/")


def _as_before(before: Record | None, wanted: Record) -> None:
    """The services of the host, when its files are again what they were."""
    with contextlib.suppress(errors.BangerError):
        if before is None:
            services.forget(wanted)
        else:
            services.start(before)
