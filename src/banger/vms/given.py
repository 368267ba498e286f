"""What of its owner's host a machine finds on its work disk: files that the settings name, and the git identity.

They come with the initial RAM disk of a start, by the way of a machine's own files: the guest's kernel has the work
disk then, and nobody on the host looks into what a guest wrote. A machine whose record says that it has had all of it
is brought nothing, so that its next start costs no more for it.

The files replace what is there, and a machine that cannot take them does not start. The identity is for a machine that
has none: a file of its own stays, and so does ours once the guest has changed it (see ``banger/defaults`` at
`banger.kernels.initrd`).
"""

import asyncio
import hashlib
import os
import pwd
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from banger import errors, proc
from banger.config.settings import Config
from banger.config.sizes import format_size
from banger.config.sync import HOME, FileSync
from banger.disk.guest_file import Directory, GuestFile
from banger.paths import Paths
from banger.text import printable

Laid = GuestFile | Directory

MOST_BYTES = 16 << 20
"""The guest's memory holds all of it for a moment."""
MOST_FILES = 10_000
DEPTH = 64
PATH_LIMIT = 3900
"""Bytes of a path in the guest: with what is before it in the archive, the kernel's limit."""

IDENTITY = f"{HOME}/.gitconfig"
_IDENTITY_HEAD = "# This host's user.name and user.email, from banger. Changed, this file stays as it is.\n"
_VALUE_LIMIT = 256
_GIT_SECONDS = 10.0

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Given(NamedTuple):
    """``files`` replace what a machine has, ``defaults`` do not. ``notices`` tell what was left out."""

    files: tuple[Laid, ...]
    defaults: tuple[Laid, ...]
    digest: str
    """Of all of it; empty for nothing."""
    notices: tuple[str, ...]


async def gather(settings: Config, paths: Paths) -> Given:
    """What machines are given as the host is now. Raises `errors.BadSetting` for a file that cannot be read."""
    files, notices = await asyncio.to_thread(_files, settings, paths)
    places = {each.path for each in files}
    mine = settings.git_identity and IDENTITY not in places
    identity = await git_identity() if mine else None
    defaults = () if identity is None else (GuestFile(IDENTITY, identity),)
    return Given(tuple(files), defaults, _digest(files, defaults), tuple(notices))


def _digest(*parts: Sequence[Laid]) -> str:
    if not any(parts):
        return ""
    digest = hashlib.sha256()
    for part in parts:
        for each in part:
            content = each.content if isinstance(each, GuestFile) else b"/"
            target = each.target if isinstance(each, GuestFile) and each.target is not None else ""
            head = f"{each.path}\0{each.mode:o}\0{target}\0{len(content)}\0"
            digest.update(head.encode("utf-8", "surrogateescape") + content)
        digest.update(b"\0\0")
    return f"sha256:{digest.hexdigest()}"


# -- files ------------------------------------------------------------------------------------------------------------


def _files(settings: Config, paths: Paths) -> tuple[list[Laid], list[str]]:
    reader = _Reader(settings, _only_below(paths))
    for number, entry in enumerate(settings.file_sync):
        reader.entry(number, entry)
    return reader.found, reader.notices


def _only_below(paths: Paths) -> str:
    """Where all files have to be: in the home of the owner of an installed host; empty for anywhere."""
    if paths.owner is None:
        return ""
    try:
        return os.path.realpath(pwd.getpwuid(paths.owner).pw_dir)
    except KeyError:
        return "/nonexistent"


class _Reader:
    """Reads the entries, one after another, into ``found``."""

    def __init__(self, settings: Config, only_below: str) -> None:
        self._origin = settings.origins["file_sync"]
        self._only_below = only_below
        self._bytes = 0
        self._places: dict[str, bool] = {}
        """Whether it is a directory."""
        self.found: list[Laid] = []
        self.notices: list[str] = []

    def entry(self, number: int, entry: FileSync) -> None:
        """Raises `errors.BadSetting`."""
        path = os.path.expanduser(entry.host)
        try:
            self._check_place(path)
            descriptor = os.open(path, _OPEN)
        except FileNotFoundError:
            self.notices.append(f"file_sync: {printable(entry.host, 200)} is not on this host, and was left out")
            return
        except _Refused as refused:
            raise self._bad(number, entry, str(refused)) from None
        except OSError as error:
            link = os.path.islink(path)
            said = "it is a symbolic link: name what it leads to" if link else error.strerror or str(error)
            raise self._bad(number, entry, said) from None
        try:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                self._directory(descriptor, entry.guest, 0)
            else:
                self._regular(descriptor, entry.guest, int(entry.mode, 8))
        except _Refused as refused:
            raise self._bad(number, entry, str(refused)) from None
        except OSError as error:
            raise self._bad(number, entry, error.strerror or str(error)) from None
        finally:
            os.close(descriptor)

    def _check_place(self, path: str) -> None:
        if not self._only_below:
            return
        real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        if os.path.commonpath((real, self._only_below)) != self._only_below:
            raise _Refused(f"it is not in {self._only_below}: an installed banger takes no other files")

    def _bad(self, number: int, entry: FileSync, reason: str) -> errors.BadSetting:
        bad = errors.BadSetting(
            path=self._origin.path or self._origin.kind,
            line=self._origin.line,
            key=f"file_sync[{number}]",
            reason=f"{printable(entry.host, 200)}: {reason}",
        )
        bad.advise("mend it; or take the entry out, and start the daemon anew")
        return bad

    def _directory(self, descriptor: int, path: str, depth: int) -> None:
        """A directory and all that is in it, in the order of the names."""
        if depth > DEPTH:
            raise _Refused(f"{printable(path, 200)}: directories are nested more than {DEPTH} deep")
        self._add(Directory(path, stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o777))
        for name in sorted(os.listdir(descriptor)):
            below = f"{path}/{name}"
            kind = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
            if stat.S_ISLNK(kind):
                self._add(GuestFile(below, target=os.readlink(name, dir_fd=descriptor)))
            elif stat.S_ISREG(kind) or stat.S_ISDIR(kind):
                inner = os.open(name, _OPEN, dir_fd=descriptor)
                try:
                    if stat.S_ISDIR(os.fstat(inner).st_mode):
                        self._directory(inner, below, depth + 1)
                    else:
                        self._regular(inner, below, None)
                finally:
                    os.close(inner)
            else:
                self.notices.append(f"file_sync: {printable(below, 200)} is no file and no directory, and was left out")

    def _regular(self, descriptor: int, path: str, mode: int | None) -> None:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _Refused("it is no file and no directory")
        if self._bytes + found.st_size > MOST_BYTES:
            raise _Refused(f"with it, all that is to be there would be more than {format_size(MOST_BYTES)}")
        content = b"".join(_pieces(descriptor, MOST_BYTES - self._bytes))
        self._bytes += len(content)
        self._add(GuestFile(path, content, stat.S_IMODE(found.st_mode) & 0o777 if mode is None else mode))

    def _add(self, each: Laid) -> None:
        if len(self.found) >= MOST_FILES:
            raise _Refused(f"there are more than {MOST_FILES} files")
        if each.path in self._places:
            raise _Refused(f"{printable(each.path, 200)} is given twice")
        above = each.path
        while (above := os.path.dirname(above)) != "/":
            if self._places.get(above, True) is False:
                raise _Refused(
                    f"{printable(above, 200)} is given as a file, and cannot hold {printable(each.path, 200)}"
                )
        if len(os.fsencode(each.path)) > PATH_LIMIT:
            raise _Refused(f"{printable(each.path, 80)}: the path is too long")
        self._places[each.path] = isinstance(each, Directory)
        self.found.append(each)


class _Refused(Exception):
    """Why an entry cannot be given."""


def _pieces(descriptor: int, most: int) -> Iterator[bytes]:
    """What a file holds; raises `_Refused` for one that has grown beyond ``most``."""
    while piece := os.read(descriptor, 1 << 20):
        most -= len(piece)
        if most < 0:
            raise _Refused(f"with it, all that is to be there would be more than {format_size(MOST_BYTES)}")
        yield piece


# -- git --------------------------------------------------------------------------------------------------------------


async def git_identity() -> bytes | None:
    """A .gitconfig with the user.name and user.email of git's global settings; None where they have neither."""
    if not any(os.path.exists(each) for each in _global_files()):
        return None
    argv = ["git", "config", "--global", "--includes", "--null", "--get-regexp", r"^user\.(name|email)$"]
    try:
        asked = await proc.run(argv, timeout=_GIT_SECONDS, check=False, cwd="/")
    except (errors.ToolMissing, errors.TimedOut):
        return None
    found: dict[str, str] = {}
    for record in asked.stdout.split(b"\0"):
        key, _, value = record.decode("utf-8", "replace").partition("\n")
        if value and value.isprintable() and len(value) <= _VALUE_LIMIT:
            found[key.removeprefix("user.")] = value.replace("\\", "\\\\").replace('"', '\\"')
    lines = [f'\t{name} = "{found[name]}"\n' for name in ("name", "email") if name in found]
    return "".join([_IDENTITY_HEAD, "[user]\n", *lines]).encode() if lines else None


def _global_files() -> tuple[str, str]:
    """Where git(1) has its global settings."""
    home = os.path.expanduser("~")
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    return os.path.join(home, ".gitconfig"), os.path.join(base, "git", "config")
