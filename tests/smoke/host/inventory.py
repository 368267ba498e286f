"""What the box's kernel and init hold for somebody: taken before and after a scenario, and compared.

Processes are compared by their command lines and not by their pids, since a service that was restarted is no leak.
The script runs in the box under its own Python and needs nothing else there.
"""

import json
from collections import Counter
from typing import Any

SCRIPT = r"""
import glob, json, os, re, subprocess

def said(*argv):
    return subprocess.run(argv, capture_output=True, text=True).stdout

def processes():
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                parent = file.read().rpartition(")")[2].split()[1]
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if parent not in ("0", "2") and command and int(pid) not in mine:
            found.append(re.sub(r" --\S+-us \d+", "", command))  # what the jailer tells a monitor about its start
    return found

mine, pid = {os.getpid()}, os.getppid()
while pid > 1:
    mine.add(pid)
    with open(f"/proc/{pid}/stat") as file:
        pid = int(file.read().rpartition(")")[2].split()[1])

def files(top):
    return [os.path.join(place, name) for place, folders, names in os.walk(top) for name in (*folders, *names)]

TOPS = ("/etc", "/run", "/srv", "/tmp", "/usr/local", "/var/cache", "/var/lib", "/var/log", "/var/tmp")
print(json.dumps({
    "process": processes(),
    "loop device": [os.path.basename(os.path.dirname(each)) for each in glob.glob("/sys/block/loop*/loop")],
    "mapper device": [each.split("\t")[0] for each in said("dmsetup", "ls").splitlines() if "\t" in each],
    "network link": os.listdir("/sys/class/net"),
    "network namespace": [each.split()[0] for each in said("ip", "netns", "list").splitlines()],
    "nft table": [f"{each['table']['family']} {each['table']['name']}"
                  for each in json.loads(said("nft", "-j", "list", "tables") or "{}").get("nftables", ())
                  if "table" in each],
    "route": [re.sub(r" expires \S+", "", each).strip()
              for each in said("ip", "route", "show", "table", "all").splitlines()],
    "address": [f"{link['ifname']} {each['local']}" for link in json.loads(said("ip", "-j", "address"))
                for each in link["addr_info"]],
    "mount": [each.split()[4] for each in open("/proc/self/mountinfo")],
    "cgroup": [each for each in files("/sys/fs/cgroup") if os.path.isdir(each)],
    "user": [each.split(":")[0] for each in (*open("/etc/passwd"), *open("/etc/group"))],
    "file": [each for top in TOPS for each in files(top)],
}))
"""

PASSING = {
    "process": ("(udev-worker)", "/lib/systemd/systemd-udevd", "(sd-pam)", "/usr/bin/systemd-tty-ask"),
    "cgroup": ("/sys/fs/cgroup/user.slice/", "/sys/fs/cgroup/system.slice/systemd-"),
    "file": (
        "/run/udev", "/run/log/", "/run/systemd", "/run/user/", "/run/dbus", "/run/lock", "/run/mount", "/run/blkid",
        "/run/lvm", "/run/dmeventd", "/etc/lvm/archive", "/etc/lvm/backup",
        "/var/lib/systemd", "/var/lib/private", "/var/log/wtmp", "/var/log/lastlog",
        "/tmp/systemd-private-", "/var/tmp/systemd-private-", "/etc/passwd-", "/etc/group-", "/etc/shadow-",
        "/etc/gshadow-", "/etc/subuid-", "/etc/subgid-", "/run/sudo", "/var/lib/sudo", "/run/initctl",
    ),
    "mount": ("/run/user/",),
}  # fmt: skip
"""Beginnings of what the system itself makes and takes back in its own time."""


STANDING = {
    "network link": ("br-fc", "tap-fc-"),
    "address": ("br-fc ", "tap-fc-"),
    "nft table": ("bridge banger", "inet banger"),
    "file": (
        "/run/banger/", "/run/banger-root/", "/var/lib/banger-root/store/", "/var/lib/banger-root/network",
        "/var/lib/banger/banger.db", "/var/cache/banger/probe",
    ),
}  # fmt: skip
"""Beginnings of what an installation keeps for machines to come; the scenario that uninstalls sees that it goes."""

STANDING_ROUTES = (" dev br-fc", " dev tap-fc-")


def is_standing(kind: str, name: str) -> bool:
    """Whether an installation keeps it."""
    if kind == "route":
        return any(each in name for each in STANDING_ROUTES)
    return name.startswith(STANDING.get(kind, ("\0",)))


class Inventory:
    """What there was at one moment."""

    def __init__(self, document: str) -> None:
        found: dict[str, Any] = json.loads(document)
        self._things = {kind: Counter(_lasting(kind, names)) for kind, names in found.items()}

    def new_since(self, before: "Inventory", standing: bool = True) -> list[str]:
        """What is here and was not before, in words; without ``standing``, what an installation keeps is left out."""
        return self._minus(before, standing)

    def gone_since(self, before: "Inventory", standing: bool = True) -> list[str]:
        """What was there before and is not any more, with the same exception."""
        return before._minus(self, standing)

    def _minus(self, other: "Inventory", standing: bool = True) -> list[str]:
        return [
            f"{kind} {name}" + (f" ({count} more)" if count > 1 else "")
            for kind, names in self._things.items()
            for name, count in sorted((names - other._things[kind]).items())
            if standing or not is_standing(kind, name)
        ]


def _lasting(kind: str, names: list[str]) -> list[str]:
    return [name for name in names if not name.startswith(PASSING.get(kind, ("\0",)))]
