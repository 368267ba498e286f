"""The cpio archive that the kernel unpacks as its first root: newc form, as Documentation/driver-api/early-userspace.

Deterministic: inode numbers count up, times are 0, order is the caller's. A directory must come before what is in
it, as the kernel creates nothing on the way. Archives may follow one another; each is padded to 512 bytes.
"""

import stat
from collections.abc import Iterable
from typing import NamedTuple

BLOCK = 512
TRAILER = "TRAILER!!!"


class Entry(NamedTuple):
    """One member. ``path`` is relative to the root, ``mode`` holds the type bits, ``device`` is (major, minor)."""

    path: str
    mode: int
    content: bytes = b""
    uid: int = 0
    gid: int = 0
    device: tuple[int, int] = (0, 0)


def directory(path: str, mode: int = 0o755) -> Entry:
    return Entry(path, stat.S_IFDIR | mode)


def regular(path: str, content: bytes, mode: int = 0o644) -> Entry:
    return Entry(path, stat.S_IFREG | mode, content)


def character_device(path: str, mode: int, major: int, minor: int) -> Entry:
    return Entry(path, stat.S_IFCHR | mode, device=(major, minor))


def archive(entries: Iterable[Entry]) -> bytes:
    """The entries as one archive with its trailer and padding."""
    out = bytearray()
    number = 0
    for number, entry in enumerate(entries, start=1):
        _append(out, number, entry)
    _append(out, number + 1, Entry(TRAILER, 0))
    out += bytes(-len(out) % BLOCK)
    return bytes(out)


def _append(out: bytearray, number: int, entry: Entry) -> None:
    name = entry.path.encode("utf-8", "surrogateescape") + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (
        number, entry.mode, entry.uid, entry.gid, links, 0, len(entry.content), 0, 0, *entry.device, len(name), 0,
    )  # fmt: skip
    out += b"070701" + "".join(f"{each:08X}" for each in fields).encode("ascii")
    out += name
    out += bytes(-len(out) % 4)
    out += entry.content
    out += bytes(-len(out) % 4)
