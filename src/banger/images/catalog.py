"""The names that ``image pull`` knows without a registry: images built of the distribution's signed packages.

Each entry is built on this host without root, wherever a mirror of the distribution can be reached.
"""

from typing import NamedTuple

from banger.api.image import CatalogEntry
from banger.oci import debian

DEFAULT = "debian-bookworm"

_MINIMAL = ("systemd", "systemd-sysv", "udev", "dbus", "ca-certificates", "iproute2", "procps")
_DOCKER = (*debian.DEFAULT_PACKAGES, "docker.io", "iptables", "apparmor")


class Entry(NamedTuple):
    """A suite and what is installed in it besides the essential packages."""

    name: str
    suite: str
    packages: tuple[str, ...]
    description: str


ENTRIES = {
    entry.name: entry
    for entry in (
        Entry(
            DEFAULT,
            debian.DEFAULT_SUITE,
            debian.DEFAULT_PACKAGES,
            "Debian 12 with systemd, git, curl, python3 and an ssh server",
        ),
        Entry("debian-bookworm-docker", debian.DEFAULT_SUITE, _DOCKER, "the same with Docker"),
        Entry("debian-bookworm-minimal", debian.DEFAULT_SUITE, _MINIMAL, "Debian 12 with systemd and little else"),
    )
}


def entries() -> list[CatalogEntry]:
    """The catalog as clients see it."""
    return [CatalogEntry(name=each.name, kind="debian", description=each.description) for each in ENTRIES.values()]
