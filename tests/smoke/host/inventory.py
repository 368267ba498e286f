"""What the box's kernel and init hold for somebody: taken before and after a scenario, and compared.

Processes are compared by their command lines and not by their pids, since a service that was restarted is no leak; loop
devices by what they stand for. Of the packet filter that is the tables and what is in their sets, but for those that
traffic fills: a machine's rules are elements of sets.

An installation keeps some things for machines to come (`STANDING`), so many and no more; what is among them by name may
come, and what is not, or is beyond their number, is left behind.
The script runs in the box under its own Python and needs nothing else there.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

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

def backing(device):
    with open(f"{device}/backing_file") as file:
        # shown from the mount namespace of who attached it, and once that is gone from the mount's own root
        return file.read().strip().removeprefix("/var/lib/banger")

def packet_filter():
    # tables, and the elements of sets and maps
    tables, elements = [], []
    for each in json.loads(said("nft", "-j", "list", "ruleset") or "{}").get("nftables", ()):
        ((kind, found),) = each.items()
        if kind == "table":
            tables.append(f"{found['family']} {found['name']}")
        elif kind in ("set", "map"):
            place = f"{found['family']} {found['table']} {found['name']}"
            elements += [f"{place} {spelled(each)}" for each in found.get("elem", ()) if not of_traffic(each)]
    return tables, elements

def of_traffic(element):
    # it has a state: a rule has put it there
    return isinstance(element, dict) and "elem" in element

def spelled(element):
    if isinstance(element, dict) and "concat" in element:
        return " . ".join(map(str, element["concat"]))
    return element if isinstance(element, str) else json.dumps(element)

def settings():
    # whether the host routes packets, and what changes with that; what is of a machine's link goes with it
    tops = ["ip_forward", "conf/all/accept_redirects"]
    tops += [f"conf/{each}/forwarding" for each in os.listdir("/proc/sys/net/ipv4/conf")
             if not each.startswith(("br-fc", "tap-fc-"))]
    found = []
    for name in tops:
        with open(f"/proc/sys/net/ipv4/{name}") as file:
            found.append(f"net.ipv4.{name.replace('/', '.')}={file.read().strip()}")
    return found

def files(top):
    return [os.path.join(place, name) for place, folders, names in os.walk(top) for name in (*folders, *names)]

TOPS = ("/etc", "/run", "/srv", "/tmp", "/usr/local", "/var/cache", "/var/lib", "/var/log", "/var/tmp")
tables, elements = packet_filter()
print(json.dumps({
    "process": processes(),
    "loop device": [backing(each) for each in glob.glob("/sys/block/loop*/loop")],
    "mapper device": [each.split("\t")[0] for each in said("dmsetup", "ls").splitlines() if "\t" in each],
    "network link": os.listdir("/sys/class/net"),
    "network namespace": [each.split()[0] for each in said("ip", "netns", "list").splitlines()],
    "nft table": tables,
    "nft element": elements,
    "setting": settings(),
    "route": [re.sub(r" expires \S+| linkdown", "", each).strip()
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


POOL = 4
"""Taps that are made ahead of time (`tap_pool_size`, whose default nothing in the box changes). Up to twice as many
stay idle, those of the smallest slots, beside that of a machine of the stage's."""

IDLE = f"tap-fc-({'|'.join(map(str, range(2 * POOL + 1)))})"


class Standing(NamedTuple):
    """What an installation keeps for machines to come: by name, and at most so many."""

    kind: str
    pattern: str
    most: int


STANDING = (
    Standing("network link", r"br-fc", 1),
    Standing("address", r"br-fc \S+", 1),
    Standing("route", r".* dev br-fc .*", 4),
    Standing("network link", IDLE, 2 * POOL + 1),
    Standing("route", rf".* dev {IDLE} .*", 2 * POOL + 1),
    Standing("nft table", r"(bridge|inet) banger", 2),
    Standing("setting", r"net\.ipv4\.(ip_forward|conf\.[^.]+\.forwarding)=1", 9),
    Standing("setting", r"net\.ipv4\.conf\.all\.accept_redirects=.", 1),
    Standing("file", r"/run/banger/vms", 1),
    Standing("file", r"/run/banger-root/(turns(/[0-9a-f]{3})?|tools(/\d+)?|versions\.json)", 4096),
    Standing("file", r"/var/lib/banger-root/store/[0-9a-f]{64}", 4),  # a kernel and its modules; the matrix has two
    Standing("file", r"/var/lib/banger-root/network(/(rules|forwarding)\.json)?", 3),
    Standing("file", r"/var/lib/banger/banger\.db-(shm|wal)", 2),
    Standing("file", r"/var/lib/banger/vms/[0-9a-f]{16}/metrics\.json", 2),  # of a machine that has run for a minute
    Standing("file", r"/var/cache/banger/probe(/.*)?", 8),
)
"""What may come. The scenario that uninstalls sees that it goes."""

GOING = (
    ("network link", IDLE),
    ("route", rf".* dev {IDLE} .*"),
    ("setting", r"net\.ipv4\..*"),
    ("file", r"/var/lib/banger/banger\.db-(shm|wal)"),
)
"""What an installation may do without: taps beyond the pool, what SQLite has between two commits, the settings that the
first guest with NAT changes."""


class Inventory:
    """What there was at one moment."""

    def __init__(self, document: str) -> None:
        found: dict[str, Any] = json.loads(document)
        self._things = {kind: Counter(_lasting(kind, names)) for kind, names in found.items()}

    def new_since(self, before: "Inventory", standing: bool = True) -> list[str]:
        """What is here and was not before, in words; without ``standing``, what an installation keeps is left out."""
        kept = set() if standing else set(self._standing())
        return [_said(*each) for each in self._minus(before) if each[:2] not in kept]

    def gone_since(self, before: "Inventory", standing: bool = True) -> list[str]:
        """What was there before and is not any more; without ``standing``, but for what may go."""
        return [
            _said(*each)
            for each in before._minus(self)
            if standing or not any(each[0] == kind and re.fullmatch(pattern, each[1]) for kind, pattern in GOING)
        ]

    def _standing(self) -> Iterator[tuple[str, str]]:
        """What of all this an installation keeps; none of a sort of which there are too many."""
        for kind, pattern, most in STANDING:
            found = [name for name in self._things[kind] if re.fullmatch(pattern, name)]
            if len(found) <= most:
                yield from ((kind, name) for name in found)

    def _minus(self, other: "Inventory") -> Iterator[tuple[str, str, int]]:
        for kind, names in self._things.items():
            for name, count in sorted((names - other._things[kind]).items()):
                yield kind, name, count


def _said(kind: str, name: str, count: int) -> str:
    return f"{kind} {name}" + (f" ({count} more)" if count > 1 else "")


def _lasting(kind: str, names: list[str]) -> list[str]:
    return [name for name in names if not name.startswith(PASSING.get(kind, ("\0",)))]
