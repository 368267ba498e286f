"""Subordinate user and group ids (subuid(5), subgid(5)), which building an image without root needs."""

import os
import pwd
from collections.abc import Iterable

from banger import errors

TABLES = ("/etc/subuid", "/etc/subgid")
NEEDED = 65536
LOWEST = 100_000
"""Where a host's first range begins by custom (SUB_UID_MIN in login.defs(5))."""


def require() -> None:
    """Raises `errors.SubordinateIdsMissing`, with a range that nobody has, unless the caller has ids in both tables."""
    uid = os.geteuid()
    user = pwd.getpwuid(uid).pw_name
    tables = [_lines(path) for path in TABLES]
    if not all(listed(lines, user, uid) for lines in tables):
        first = next_free(line for lines in tables for line in lines)
        raise errors.SubordinateIdsMissing(user=user, first=first, last=first + NEEDED - 1)


def listed(lines: Iterable[str], user: str, uid: int) -> bool:
    """Whether the lines of a table give the user a range that is large enough."""
    return any(owner in (user, str(uid)) and count >= NEEDED for owner, _, count in _ranges(lines))


def next_free(lines: Iterable[str]) -> int:
    """The first id above every range in use."""
    return max([LOWEST, *(start + count for _, start, count in _ranges(lines))])


def _ranges(lines: Iterable[str]) -> Iterable[tuple[str, int, int]]:
    for line in lines:
        owner, _, rest = line.strip().partition(":")
        start, _, count = rest.partition(":")
        if start.isdigit() and count.isdigit():
            yield owner, int(start), int(count)


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as table:
            return table.readlines()
    except OSError:
        return []
