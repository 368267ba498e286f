"""What is on disk: what was promised, and what is really taken."""

from typing import Literal

import msgspec


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """Something that takes space.

    ``cache`` is what pulls have downloaded, ``staging`` work in progress, ``unknown`` a directory among the machines
    that no record names, ``other`` the rest of the state: the store, the log, keys.
    """

    kind: Literal["machine", "image", "kernel", "cache", "staging", "unknown", "other"]
    name: str = ""
    virtual: int | None = None
    """How large its disk is said to be, where it has one."""
    real: int
    """What it takes of the host's disk. A file that two share is counted with the first of them."""


class Space(msgspec.Struct, frozen=True, kw_only=True):
    """All items, and the file system that the state lies on."""

    items: list[Item]
    path: str
    size: int
    free: int
    """What its owner can still write there."""
    promised: int
    """What machines may still write before their disks are full."""
