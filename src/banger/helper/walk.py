"""Paths below a root, walked one component at a time and held by descriptor.

No component may be a symbolic link, lead to another file system, or be ``..``; so what is opened is what was named, and
nothing that the owner does to the tree in the meantime changes that.
"""

import contextlib
import os
import stat

from .operation import Failed, Refused


def open_below(root: str, path: str, flags: int, *, owner: int | None = None) -> int:
    """A descriptor of the regular file or directory ``path`` (absolute, below ``root``); the caller closes it.

    ``flags`` are those of open(2) for the last component; O_NOFOLLOW and O_CLOEXEC are added. With ``owner``, what is
    opened belongs to that uid. Raises `Refused`, and `Failed` for what is not there.
    """
    parts = components(root, path)
    descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        device = os.fstat(descriptor).st_dev
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            wanted = flags if last else os.O_PATH | os.O_DIRECTORY
            try:
                below = os.open(part, wanted | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=descriptor)
            except FileNotFoundError:
                raise Failed(f"{path}: there is no such file") from None
            except OSError as error:
                raise Refused(f"{path}: {part[:80]!r}: {error.strerror}") from None
            os.close(descriptor)
            descriptor = below
            found = os.fstat(descriptor)
            if found.st_dev != device:
                raise Refused(f"{path}: {part[:80]!r} is on another file system")
        kind = stat.S_IFMT(found.st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFDIR):
            raise Refused(f"{path} is neither a file nor a directory")
        if owner is not None and found.st_uid != owner:
            raise Refused(f"{path} belongs to uid {found.st_uid}")
        kept, descriptor = descriptor, -1
        return kept
    finally:
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def components(root: str, path: str) -> list[str]:
    """The names that lead from ``root`` to ``path``. Raises `Refused` for what is not a clean path below it."""
    if not path.startswith(root + "/") or "\0" in path or len(os.fsencode(path)) > 4096:
        raise Refused(f"{path[:200]!r} is not below {root}")
    parts = path[len(root) + 1 :].split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise Refused(f"{path[:200]!r} is not a clean path")
    return parts
