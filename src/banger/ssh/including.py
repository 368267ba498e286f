"""The user's own ``~/.ssh/config``, where they ask for it: it includes ours, or does no more (`fence`).

The only file of the user's own that banger ever writes. It is replaced as a whole by a file with its mode and its
owner; a link stays, and what it leads to is replaced. Whatever is not certain is refused, with the line to put in by
hand. ``python -m banger.ssh.including REQUEST`` is the program behind ``banger ssh-config``.
"""

import os
import pwd
import stat
import sys
from typing import Literal

import msgspec

from banger import errors, program
from banger.config.loader import load
from banger.disk.fresh import replacing
from banger.paths import Paths
from banger.ssh import client, fence

LIMIT = 1 << 20
"""Most bytes of a file that is changed."""


class Request(msgspec.Struct, frozen=True):
    act: Literal["show", "install", "uninstall"]
    file: str = ""
    """Empty for the user's own."""


class Done(msgspec.Struct, frozen=True):
    path: str
    changed: bool
    text: str


def included(paths: Paths) -> bool:
    """Whether the user's own file includes ours, as `act` would have it. One that cannot be read does not."""
    try:
        with open(users_file(), "rb") as file:
            data = file.read(LIMIT)
        found = fence.find(data)
    except (OSError, errors.UsageError):
        return False
    return found is not None and os.fsencode(f'"{paths.ssh_config}"') in data[found.start : found.end]


def act(request: Request) -> Done:
    """Show our configuration, or include it. Raises `errors.UnsafeDirectory`, `errors.UsageError`."""
    paths = Paths.from_environment()
    path = request.file or users_file()
    if request.act == "uninstall":
        return Done(path, change(path, None), "")
    settings = load(*paths.config_files)
    if request.act == "show":
        return Done(path, False, client.configuration(paths, settings))
    if paths.owner not in (None, os.geteuid()):  # ssh refuses to include what is neither the caller's nor root's
        other = errors.UsageError(detail=f"the machines are uid {paths.owner}'s, and so is what ssh has to include")
        other.advise("run this as that user; 'banger ssh NAME' works for root too")
        raise other
    text = client.write_configuration(paths, settings)
    return Done(path, change(path, f"Include {client.quoted(paths.ssh_config)}"), text)


def users_file() -> str:
    """Where ssh looks: in the home that the account has, whatever HOME says."""
    try:
        home = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        home = os.path.expanduser("~")
    return os.path.join(home, ".ssh", "config")


def change(path: str, line: str | None) -> bool:
    """Put ``line`` into the file, or take ours out; whether that made a difference."""
    target = os.path.realpath(path)
    found = _look(target, path, line)
    if found is None and line is None:
        return False
    old = _read(target, found)
    new = fence.install(old, line) if line is not None else fence.uninstall(old)
    if new != old:
        _replace(target, new, found, path, line)
    return new != old


def _look(target: str, path: str, line: str | None) -> os.stat_result | None:
    """The file as it is, None for none. Raises `errors.UnsafeDirectory` for one that is not to be replaced."""
    try:
        found = os.stat(target)
    except FileNotFoundError:
        if os.path.islink(path):
            raise _refused(path, "it is a link that leads to nothing", line) from None
        return None
    except OSError as fault:
        raise _refused(path, fault.strerror or str(fault), line) from None
    reason = ""
    if not stat.S_ISREG(found.st_mode):
        reason = "it is no regular file"
    elif not found.st_mode & stat.S_IWUSR:
        reason = "it is read-only"
    elif found.st_uid != os.geteuid() and os.geteuid() != 0:
        reason = f"it belongs to uid {found.st_uid}"
    elif found.st_size > LIMIT:
        reason = "it is larger than 1 MiB"
    if reason:
        raise _refused(path, reason, line)
    return found


def _read(target: str, found: os.stat_result | None) -> bytes:
    if found is None:
        return b""
    try:
        with open(target, "rb") as file:
            return file.read(LIMIT + 1)
    except OSError as fault:
        raise errors.from_os(fault, target) from fault


def _replace(target: str, data: bytes, found: os.stat_result | None, path: str, line: str | None) -> None:
    """Write the file anew, as the one that was looked at. Raises `errors.UnsafeDirectory`, `errors.DiskFull`."""
    directory = os.path.dirname(target)
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
    except OSError as fault:
        raise _refused(path, f"{directory}: {fault.strerror}", line) from None
    if not os.access(directory, os.W_OK):
        raise _refused(path, f"{directory} is read-only", line)
    with replacing(target, durable=True) as beside:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
            if found is not None:
                if (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
                    _own(descriptor, found)
                os.fchmod(descriptor, stat.S_IMODE(found.st_mode))
        if _version(target) != (None if found is None else (found.st_ino, found.st_mtime_ns, found.st_size)):
            raise _refused(path, "somebody else has changed it just now", line)


def _own(descriptor: int, found: os.stat_result) -> None:
    try:
        os.fchown(descriptor, found.st_uid, found.st_gid)
    except PermissionError:
        pass  # a group that is not ours: the owner is


def _version(target: str) -> tuple[int, int, int] | None:
    try:
        now = os.stat(target)
    except FileNotFoundError:
        return None
    return now.st_ino, now.st_mtime_ns, now.st_size


def _refused(path: str, reason: str, line: str | None) -> errors.UnsafeDirectory:
    error = errors.UnsafeDirectory(path=path, reason=reason)
    error.advise(f"put this at its beginning yourself: {line}" if line else "take out what banger marks as its own")
    return error


def tell(request: Request, done: Done) -> None:
    """One line of what was done; the configuration itself where it was asked for."""
    if request.act == "show":
        print(done.text, end="")
    elif request.act == "install":
        said = "now reaches" if done.changed else "already reaches"
        print(f"{done.path}: ssh {said} machines as NAME.{client.DOMAIN}")
    else:
        print(f"{done.path}: {'as it was without banger' if done.changed else 'nothing of banger in it'}")


if __name__ == "__main__":
    sys.exit(program.run(Request, act, tell))
