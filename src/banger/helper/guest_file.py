"""What is put into a guest, as values: files, links, directories, removals, owners.

One vocabulary for all ways into a guest: the initrd that a machine appends, and the offline edit of a file system
(`edits`), with and without root. Paths are absolute and the guest's own; a mode is permission bits alone, the type
follows from the value. Root owns what nobody else is named for.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class GuestFile:
    """A regular file with ``content`` or the bytes of the host's file ``source``, or a symbolic link to ``target``."""

    path: str
    content: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    target: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class Directory:
    """A directory; one that is there already keeps what is in it and gets this mode and owner."""

    path: str
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class Remove:
    """A file, link or empty directory that shall not be there."""

    path: str


@dataclass(frozen=True)
class Owner:
    """The owner of something that is there, and its permissions unless ``mode`` is None."""

    path: str
    uid: int
    gid: int
    mode: int | None = None


Edit = GuestFile | Directory | Remove | Owner
