"""What the installation allows: the record that ``banger system install`` writes, as a value.

On disk: /etc/banger/install.json, root's, 0644, one JSON object with the fields of `Host`. It is read once, when the
helper starts; nothing that a caller says can change it.
"""

import dataclasses
import ipaddress
import json
import os
import re
import stat
from dataclasses import dataclass

RECORD = "/etc/banger/install.json"
TOOL_UIDS = 16
"""User ids for tools that look at what guests wrote, each for one run at a time."""
BRIDGE = re.compile(r"br-fc(-[a-z0-9]{1,9})?")
"""Names of bridges that are banger's: at most 15 characters (IFNAMSIZ)."""


class BadRecord(Exception):
    """The install record cannot be read, or is not root's alone."""


@dataclass(frozen=True, kw_only=True)
class Host:
    """One installation. Paths are absolute and clean."""

    owner_uid: int
    owner_gid: int
    state: str = "/var/lib/banger"
    """The owner's directory: the only place whose files operations may name."""
    private: str = "/var/lib/banger-root"
    """Root's own: ``store/`` and ``jails/``, on one file system."""
    runtime: str = "/run/banger-root"
    """The helper's socket, and what must not outlive the host's next start."""
    cgroup: str = "/sys/fs/cgroup/banger.slice/banger-machines.service"
    """A delegated cgroup outside both services; each machine is a leaf of it."""
    first_uid: int = 900_000
    uid_count: int = 1_000
    """User and group ids for monitors: a machine's slot, counted from the first. `TOOL_UIDS` more follow them."""
    bridge: str = "br-fc"
    address: str = "172.16.0.1/24"
    """The bridge's own address with the prefix length of the guests' network."""
    firecracker: str = "/usr/local/bin/firecracker"
    jailer: str = "/usr/local/bin/jailer"

    @property
    def store(self) -> str:
        return os.path.join(self.private, "store")

    @property
    def jails(self) -> str:
        return os.path.join(self.private, "jails")

    @property
    def socket(self) -> str:
        return os.path.join(self.runtime, "bangerd-root.sock")

    @property
    def network(self) -> ipaddress.IPv4Interface:
        return ipaddress.IPv4Interface(self.address)

    @property
    def tool_uids(self) -> range:
        first = self.first_uid + self.uid_count
        return range(first, first + TOOL_UIDS)

    def uid(self, slot: int) -> int:
        """The user (and group) id of the monitor in that slot; the caller has checked the slot."""
        return self.first_uid + slot


def load(path: str = RECORD) -> Host:
    """Read the record. Raises `BadRecord` unless only root can have written it, and what it says makes sense."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise BadRecord(f"{path}: {error.strerror}") from None
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
            raise BadRecord(f"{path} is not a file that only root can write")
        content = file.read(1 << 16)
    _trust_directories(path)
    try:
        values = json.loads(content)
        known = {each.name: type(each.default) for each in dataclasses.fields(Host)} | {
            "owner_uid": int,
            "owner_gid": int,
        }
        host = Host(**{name: value for name, value in values.items() if name in known})
        for name, kind in known.items():
            if type(getattr(host, name)) is not kind:
                raise ValueError(f"{name} is not of type {kind.__name__}")
        check(host)
    except (ValueError, TypeError, AttributeError) as error:
        raise BadRecord(f"{path}: {error}") from None
    return host


def _trust_directories(path: str) -> None:
    """Only root can have replaced the record; in a sticky directory, nobody replaces what is somebody else's."""
    above = os.path.realpath(os.path.dirname(path))
    while True:
        found = os.stat(above)
        if found.st_uid != 0 or (found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX):
            raise BadRecord(f"{path}: somebody other than root can write {above}")
        if above == "/":
            return
        above = os.path.dirname(above)


def check(host: Host) -> None:
    """Raises `ValueError` for an installation that makes no sense."""
    for name in ("state", "private", "runtime", "cgroup", "firecracker", "jailer"):
        path = getattr(host, name)
        if not path.startswith("/") or path == "/" or os.path.normpath(path) != path or "\0" in path:
            raise ValueError(f"{name}: {path!r} is not a clean absolute path")
    if not 0 <= host.owner_uid < 1 << 32 or not 0 <= host.owner_gid < 1 << 32:
        raise ValueError("the owner is no user")
    last = host.tool_uids[-1]
    if host.first_uid < 1 or host.uid_count < 1 or last >= (1 << 32) - 2:
        raise ValueError("the user ids for machines are none")
    if host.first_uid <= host.owner_uid <= last:
        raise ValueError("the owner's user id is among those for machines")
    if not BRIDGE.fullmatch(host.bridge):
        raise ValueError(f"{host.bridge!r} is no name for a bridge of banger's")
    if not 8 <= host.network.network.prefixlen <= 30 or host.network.ip in (
        host.network.network.network_address,
        host.network.network.broadcast_address,
    ):
        raise ValueError(f"{host.address} is no address in a network of guests")
