"""The names that ``image pull`` knows without a registry: images built of the distribution's signed packages.

Each entry is built on this host without root, wherever a mirror of the distribution can be reached.
"""

from typing import NamedTuple

from banger.api.image import CatalogEntry

DEFAULT = "debian-bookworm"

_BASE = ("systemd", "systemd-sysv", "udev", "dbus", "ca-certificates", "iproute2", "procps")
_DAILY = (*_BASE, "openssh-server", "git", "curl", "sudo", "iputils-ping", "less", "vim-tiny", "jq", "python3")
_DOCKER = (*_DAILY, "docker.io", "iptables", "kmod", "apparmor")


class Entry(NamedTuple):
    """A suite and what is installed in it besides the essential packages."""

    name: str
    suite: str
    packages: tuple[str, ...]
    description: str


ENTRIES = {
    entry.name: entry
    for entry in (
        Entry(DEFAULT, "bookworm", _DAILY, "Debian 12 with systemd, git, curl, python3 and an ssh server"),
        Entry("debian-bookworm-docker", "bookworm", _DOCKER, "the same with Docker"),
        Entry("debian-bookworm-minimal", "bookworm", _BASE, "Debian 12 with systemd and little else"),
    )
}


def entries() -> list[CatalogEntry]:
    """The catalog as clients see it."""
    return [CatalogEntry(name=each.name, kind="debian", description=each.description) for each in ENTRIES.values()]
