"""Paths walked one component at a time and held by descriptor: below a root of the owner's, or in root's own tree.

Below a root (`open_below`): no component may be a symbolic link, lead into another mount, or be ``..``; so what is
opened is what was named, and nothing that the owner does to the tree in the meantime changes that. A mount is told by
its own number, not by the device of a file, which an overlay may change from file to file; and before anything is asked
of it, because the owner may have mounted FUSE there, which need never answer. The last component is looked at before it
is opened: to open a fifo or a device can do something already.

In root's own tree (`open_trusted`): nobody else may be able to write any component, so that who changes it is root.
"""

import errno
import os
import stat

from .operation import Failed, Refused

_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = _PATH | os.O_DIRECTORY
_CREATING = os.O_CREAT | os.O_EXCL | os.O_TMPFILE & ~os.O_DIRECTORY
_REFUSED = {
    errno.ELOOP: "it is a symbolic link",
    errno.ENOTDIR: "it is no directory",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EACCES: "permission denied",
}


def open_below(root: str, path: str, flags: int, *, owner: int | None = None) -> int:
    """A descriptor of the regular file or directory ``path`` (absolute, below ``root``); the caller closes it.

    ``flags`` are those of open(2) for what is there; nothing is created. With ``owner``, it belongs to that uid. Raises
    `Refused`, and `Failed` for what is not there or leased by somebody (busy).
    """
    if flags & _CREATING:
        raise ValueError("open_below creates nothing")
    held = hold_below(root, path)
    try:
        found = os.fstat(held)
        if owner is not None and found.st_uid != owner:
            raise Refused(f"{shown(path)} belongs to uid {found.st_uid}")
        if flags & os.O_DIRECTORY and not stat.S_ISDIR(found.st_mode):
            raise Refused(f"{shown(path)} is no directory")
        if flags & os.O_PATH:
            return os.dup(held)
        return _reopened(held, path, flags)
    finally:
        os.close(held)


def hold_below(root: str, path: str) -> int:
    """As `open_below`, with O_PATH: held, and neither readable nor writable."""
    parts = components(root, path)
    held = os.open(root, _DIRECTORY)
    try:
        mount = mount_of(held)
        for number, part in enumerate(parts):
            below = _step(held, part, path, _PATH if number == len(parts) - 1 else _DIRECTORY)
            os.close(held)
            held = below
            if mount_of(held) != mount:
                raise Refused(f"{shown(path)}: {shown(part)} is in another mount")
        if stat.S_IFMT(os.fstat(held).st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
            raise Refused(f"{shown(path)} is neither a file nor a directory")
    except BaseException:
        os.close(held)
        raise
    return held


def _step(held: int, part: str, path: str, flags: int) -> int:
    try:
        return os.open(part, flags, dir_fd=held)
    except FileNotFoundError:
        raise Failed(f"{shown(path)}: there is no such file") from None
    except OSError as error:
        reason = _REFUSED.get(error.errno or 0)
        if reason is None:
            raise Failed(f"{shown(path)}: {shown(part)}: {error.strerror}") from None
        raise Refused(f"{shown(path)}: {shown(part)}: {reason}") from None


def _reopened(held: int, path: str, flags: int) -> int:
    """The file itself, whatever has become of its name. Without O_NONBLOCK, a lease of the owner's would hold us up."""
    try:
        made = os.open(f"/proc/self/fd/{held}", (flags & ~os.O_NOFOLLOW) | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except BlockingIOError:
        raise Failed(f"{shown(path)}: somebody has a lease on it", busy=True) from None
    except IsADirectoryError:
        raise Refused(f"{shown(path)} is no regular file") from None
    except OSError as error:
        raise Failed(f"{shown(path)}: {error.strerror}", busy=error.errno == errno.ETXTBSY) from None
    os.set_blocking(made, True)
    return made


def mount_of(descriptor: int) -> int:
    """The number of the mount that a descriptor was opened in; asks the kernel, not the file system (proc(5))."""
    with open(f"/proc/self/fdinfo/{descriptor}", "rb") as file:
        for line in file:
            if line.startswith(b"mnt_id:"):
                return int(line[7:])
    raise Failed("the kernel does not tell in which mount a file is")


def components(root: str, path: str) -> list[str]:
    """The names that lead from ``root`` to ``path``. Raises `Refused` for what is not a clean path below it."""
    try:
        length = len(os.fsencode(path))
    except UnicodeEncodeError:
        raise Refused(f"{shown(path)} is no path") from None
    if not path.startswith(root + "/") or "\0" in path or length > 4095:
        raise Refused(f"{shown(path)} is not below {root}")
    parts = path[len(root) + 1 :].split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise Refused(f"{shown(path)} is not a clean path")
    return parts


def shown(path: str) -> str:
    """A path in a message: ASCII, quoted and not too long."""
    return ascii(path if len(path) <= 200 else path[:197] + "...")


def open_trusted(path: str, flags: int = os.O_RDONLY) -> int:
    """A descriptor of a file that only root can have put there: it and every directory above it are root's, and nobody
    else can write them. Links are resolved first, and then there must be none. Raises `Refused`, `Failed`.
    """
    held = os.open("/", _DIRECTORY)
    try:
        parts = os.path.realpath(path).split("/")[1:]
        _trust(held, "/")
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            below = _step(held, part, path, _PATH if last else _DIRECTORY)
            os.close(held)
            held = below
            _trust(held, "/" + "/".join(parts[: number + 1]))
        if not stat.S_ISREG(os.fstat(held).st_mode):
            raise Refused(f"{shown(path)} is not a regular file")
        return os.dup(held) if flags & os.O_PATH else _reopened(held, path, flags)
    finally:
        os.close(held)


def _trust(held: int, path: str) -> None:
    found = os.fstat(held)
    if found.st_uid != 0 or found.st_mode & 0o022 or stat.S_ISLNK(found.st_mode):
        raise Refused(f"somebody other than root can write {shown(path)}")
