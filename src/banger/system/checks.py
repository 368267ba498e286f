"""What a host must have before anything is written, and what it had better have; each with the step that mends it."""

import grp
import os
import pwd
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from banger import errors
from banger.privileged.installation import Host
from banger.system import environment
from banger.system.layout import LIBRARY, PYTHON, below

LEAST_PYTHON = (3, 11)
HELPER_TOOLS = {
    "ip": "iproute2", "nft": "nftables", "e2fsck": "e2fsprogs", "debugfs": "e2fsprogs",
}  # fmt: skip
"""Programs that the helper starts, and the Debian packages that bring them; nft stands for its library."""

UID_CANDIDATES = (900_000, 700_000_000, 1_200_000_000, 1_700_000_000)
"""Where a block of user ids for monitors may begin, in the order of preference."""


class Finding(NamedTuple):
    """One thing about the host. ``required``: without it there is no installation."""

    required: bool
    text: str
    mend: str


def owner(name: str, force: bool) -> pwd.struct_passwd:
    """The account that the daemon will run as. Raises `errors.InstallRefused`."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        error = errors.InstallRefused(reason=f"there is no user {name!r} on this host")
        error.advise("name one with --owner")
        raise error from None
    if found.pw_uid == 0 and not force:
        error = errors.InstallRefused(reason="root would own its own machines: the daemon would be no less than root")
        error.advise("name a user with --owner, or insist with --force")
        raise error
    return found


def examine(host: Host) -> Iterator[Finding]:
    """Everything that this host lacks."""
    if not os.path.isdir("/run/systemd/system"):
        yield Finding(True, "systemd is not the first process of this host", "run banger without an installation")
    if not os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        yield Finding(
            True,
            "control groups of version 2 are not mounted at /sys/fs/cgroup",
            "boot with systemd.unified_cgroup_hierarchy=1",
        )
    reason = environment.not_roots(os.path.realpath(PYTHON)) or _too_old()
    if reason:
        yield Finding(True, f"the helper needs {PYTHON}, 3.11 or later: {reason}", "sudo apt-get install python3")
    reason = environment.not_roots(os.path.dirname(LIBRARY))
    if reason:
        yield Finding(True, f"what root runs cannot lie in {LIBRARY}: {reason}", "sudo chmod go-w that directory")
    yield from _chroot_base(host)
    for tool, package in HELPER_TOOLS.items():
        if not any(os.path.exists(f"{place}/{tool}") for place in ("/usr/sbin", "/usr/bin", "/sbin")):
            yield Finding(False, f"{tool} is not installed", f"sudo apt-get install {package}")
    for path in (host.firecracker, host.jailer):
        yield from _monitor(path)


def _chroot_base(host: Host) -> Iterator[Finding]:
    place = host.private
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    flags = os.statvfs(place).f_flag
    refused = [name for name, flag in (("nodev", os.ST_NODEV), ("noexec", os.ST_NOEXEC)) if flags & flag]
    if refused:
        yield Finding(
            True,
            f"jails cannot be in {host.private}: its file system is mounted {' and '.join(refused)}",
            f"mount another file system at {host.private}",
        )


def _monitor(path: str) -> Iterator[Finding]:
    name = os.path.basename(path)
    if not os.path.exists(path):
        yield Finding(
            False, f"{name} is not at {path}: machines run on QEMU until it is", "sudo banger firecracker install"
        )
    elif reason := environment.not_roots(path):
        yield Finding(False, f"{name} will not be run: {reason}", f"sudo chown root: {path} && sudo chmod 755 {path}")


def _too_old() -> str:
    """Why the distribution's Python is too old, judged by its name: it is ``python3.N``."""
    name = os.path.basename(os.path.realpath(PYTHON))
    digits = name.removeprefix("python3.").rstrip("dmut")
    if name.startswith("python3.") and digits.isdigit() and (3, int(digits)) < LEAST_PYTHON:
        return f"it is {name}"
    return ""


def free_uids(count: int, root: str = "/") -> int:
    """The first of ``count`` user ids that belong to nobody: to no account, and to no range of subordinate ids.

    Raises `errors.InstallRefused`.
    """
    taken = sorted((*_accounts(), *_ranges(below(root, "/etc/subuid")), *_ranges(below(root, "/etc/subgid"))))
    for first in UID_CANDIDATES:
        if not any(start < first + count and first < start + size for start, size in taken):
            return first
    raise errors.InstallRefused(reason=f"there is no block of {count} free user ids for monitors")


def _accounts() -> Iterator[tuple[int, int]]:
    yield from ((each.pw_uid, 1) for each in pwd.getpwall())
    yield from ((each.gr_gid, 1) for each in grp.getgrall())


def _ranges(path: str) -> Iterable[tuple[int, int]]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            fields = [line.strip().split(":") for line in file]
    except OSError:
        return []
    return [
        (int(each[1]), int(each[2])) for each in fields if len(each) == 3 and each[1].isdigit() and each[2].isdigit()
    ]


def kvm_groups(path: str = "/dev/kvm") -> tuple[str, ...]:
    """The group that may use /dev/kvm, where that is a group's matter."""
    try:
        found = os.stat(path)
        if not stat.S_ISCHR(found.st_mode) or found.st_gid == 0 or not found.st_mode & stat.S_IWGRP:
            return ()
        return (grp.getgrgid(found.st_gid).gr_name,)
    except (OSError, KeyError):
        return ()


def require(findings: Iterable[Finding]) -> list[Finding]:
    """Those that are only advice. Raises `errors.InstallRefused` for the first that is more, and names the others."""
    found = list(findings)
    missing = [each for each in found if each.required]
    if missing:
        error = errors.InstallRefused(reason="; ".join(each.text for each in missing))
        error.advise("; ".join(each.mend for each in missing))
        raise error
    return [each for each in found if not each.required]
