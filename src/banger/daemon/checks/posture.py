"""Rows about the system installation: whether what runs is what was installed, with the rights that it was given.

Where banger is not installed as a system there is one row, which says what cannot be done without.
"""

import os
import stat
from collections.abc import Mapping

from banger import errors, proc
from banger.daemon.checks import Found
from banger.privileged import archive
from banger.privileged.installation import Host, missing_tools, ping
from banger.system import units
from banger.system.layout import HELPER
from banger.system.record import Record
from banger.vmm.firecracker import programs

RESTART = "sudo banger system restart"
REPEAT = "sudo banger system install"
PACKAGES = {"ip": "iproute2", "e2fsck": "e2fsprogs", "debugfs": "e2fsprogs"}
WITHOUT = (
    "not installed as a system: machines run through QEMU as this user; there is no Firecracker and no jail, guests "
    "have no network of their own and the host does not know their names (docs/explanation/privileges.md)"
)


async def absent() -> Found:
    """The one row of a private installation."""
    return "warn", WITHOUT, "sudo banger system install --owner USER"


async def services(record: Record) -> Found:
    """The services and their sockets are active."""
    states = {name: (await loaded(name, ("ActiveState",))).get("ActiveState", "unknown") for name in units.RUNNING}
    wrong = [f"{name} is {state}" for name, state in states.items() if state != "active"]
    if wrong:
        return "fail", "; ".join(wrong), RESTART
    return "pass", f"{units.DAEMON_SERVICE} and {units.HELPER_SERVICE} are active", ""


async def helper(record: Record) -> Found:
    """The helper answers, and is the one that came with this daemon."""
    try:
        digest = await ping(record)
    except errors.BangerError as error:
        return "fail", error.message, RESTART
    if digest != archive.digest():
        return "warn", "the helper is of another version than the daemon", REPEAT
    return "pass", "it answers, and is of this version", ""


async def tools(record: Record) -> Found:
    """The programs and the library that the helper works with."""
    missing = missing_tools()
    if missing:
        packages = " ".join(dict.fromkeys(PACKAGES.get(each, each) for each in missing))
        return "fail", f"the helper misses {', '.join(missing)}", f"sudo apt-get install {packages}"
    return "pass", "the helper has all that it works with", ""


async def sockets(record: Record) -> Found:
    """Both sockets are the owner's alone."""
    for path in ("/run/banger/bangerd.sock", record.socket):
        found = os.lstat(path)
        if not stat.S_ISSOCK(found.st_mode):
            return "fail", f"{path} is not a socket", RESTART
        if found.st_uid != record.owner_uid or stat.S_IMODE(found.st_mode) != 0o600:
            mode = stat.S_IMODE(found.st_mode)
            return "fail", f"{path} belongs to uid {found.st_uid} with mode {mode:04o}", RESTART
    return "pass", f"both are uid {record.owner_uid}'s, mode 0600", ""


async def restrictions(record: Record) -> Found:
    """systemd has loaded the units with the restrictions that were promised."""
    faults = []
    for unit, promised in units.PROMISED.items():
        found = await loaded(unit, tuple(promised))
        faults += missing(unit, promised, found)
    daemon = (await loaded(units.DAEMON_SERVICE, ("User",))).get("User")
    if daemon != record.owner:
        faults.append(f"{units.DAEMON_SERVICE} runs as {daemon or 'root'}, not as {record.owner}")
    if faults:
        return "fail", "; ".join(faults), REPEAT
    return "pass", "the units are as they were installed", ""


def missing(unit: str, promised: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """What a unit has not, in words. systemd lists capabilities in an order of its own."""
    faults = []
    for name, value in promised.items():
        have = found.get(name, "")
        listed = name.endswith("BoundingSet")
        if set(have.lower().split()) != set(value.split()) if listed else have != value:
            faults.append(f"{unit} has {name}={have or '(nothing)'}, not {value or '(nothing)'}")
    return faults


async def loaded(unit: str, names: tuple[str, ...]) -> dict[str, str]:
    """Properties of a unit as systemd has loaded it."""
    result = await proc.run(["systemctl", "show", unit, f"--property={','.join(names)}"], timeout=20, check=False)
    lines = result.stdout.decode("utf-8", "replace").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


async def installed_files(record: Record) -> Found:
    """Only root can change what root runs."""
    for path in (HELPER, units.DIRECTORY, "/etc/banger/install.json"):
        if (loose := _not_roots(path)) is not None:
            mend = f"sudo chown root {loose}; sudo chmod go-w {loose}"
            return "fail", f"somebody other than root can write {loose}", mend
    return "pass", "only root can change what root runs", ""


def _not_roots(path: str) -> str | None:
    """What of a path and all that is above it somebody other than root can write."""
    while True:
        found = os.lstat(path)
        if found.st_uid != 0 or found.st_mode & 0o022:
            return path
        if path == "/":
            return None
        path = os.path.dirname(path)


async def firecracker(record: Record) -> Found:
    """Firecracker and its jailer: root's, not writable, of one release that is known."""
    judged = await programs.judge(record.firecracker, record.jailer)
    if judged.usable:
        return "pass", f"{judged.reason}, {record.firecracker} and {record.jailer}", ""
    return "warn", f"{judged.reason}: no machine can run on it", programs.MEND


async def jails(record: Record) -> Found:
    """Where jails are made: root's alone, and a file system that lets them have devices and programs."""
    host: Host = record
    for path in (host.private, host.jails, host.store):
        found = os.lstat(path)
        if found.st_uid != 0 or found.st_mode & 0o022 or not stat.S_ISDIR(found.st_mode):
            return "fail", f"{path} is not a directory of root's alone", REPEAT
    if (loose := _not_roots(host.private)) is not None:
        return "fail", f"somebody other than root can write {loose}, above the jails", f"sudo chmod go-w {loose}"
    if os.stat(host.store).st_dev != os.stat(host.jails).st_dev:
        return "fail", f"{host.store} and {host.jails} are on two file systems: no kernel can be linked", REPEAT
    flags = os.statvfs(host.jails).f_flag
    refused = [name for name, flag in (("nodev", os.ST_NODEV), ("noexec", os.ST_NOEXEC)) if flags & flag]
    if refused:
        what = " and ".join(refused)
        return "fail", f"{host.private} is mounted {what}", f"mount it without {what}, or another file system there"
    return "pass", f"{host.private} (root's, with devices)", ""


ROWS = {
    "services": services,
    "helper": helper,
    "helper's tools": tools,
    "sockets": sockets,
    "restrictions": restrictions,
    "root's files": installed_files,
    "firecracker": firecracker,
    "jails": jails,
}
