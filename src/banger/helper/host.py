"""What the installation allows: the record that ``banger system install`` writes, as a value.

On disk: /etc/banger/install.json, root's, 0644, one JSON object with the fields of `Host`. It is read once, when the
helper starts; nothing that a caller says can change it.
"""

import dataclasses
import ipaddress
import json
import os
import stat
from dataclasses import dataclass

RECORD = "/etc/banger/install.json"


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
    """User and group ids for monitors: a machine's slot, counted from the first."""
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

    def uid(self, slot: int) -> int:
        """The user (and group) id of the monitor in that slot; the caller has checked the slot."""
        return self.first_uid + slot


def load(path: str = RECORD) -> Host:
    """Read the record. Raises `BadRecord` unless it is a regular file that only root can write."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise BadRecord(f"{path}: {error.strerror}") from None
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
            raise BadRecord(f"{path} is not a file that only root can write")
        content = file.read(1 << 16)
    try:
        values = json.loads(content)
        known = {each.name for each in dataclasses.fields(Host)}
        host = Host(**{name: value for name, value in values.items() if name in known})
        _ = host.network
    except (ValueError, TypeError, AttributeError) as error:
        raise BadRecord(f"{path}: {error}") from None
    return host
