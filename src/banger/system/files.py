"""Files of the system, made one after the other; what was there before comes back when a later step fails.

Every method does one thing and puts its undoing on the stack; the stack is emptied when all has worked. Each is safe to
repeat, replaces in one step what is there, and refuses to follow a symbolic link or to take over what is not banger's.
"""

import contextlib
import os
import shutil
import stat
from collections.abc import Callable

from banger import errors
from banger.system.layout import below


class Files:
    """The host's files below ``root``; ``undo`` collects what takes each step back."""

    def __init__(self, root: str, undo: contextlib.ExitStack) -> None:
        self.root = root
        self._undo = undo

    def directory(self, path: str, mode: int, uid: int = 0, gid: int = 0) -> None:
        """A directory with this mode and owner; parents that are missing are made root's and 0755."""
        place = below(self.root, path)
        parent = os.path.dirname(path)
        if not os.path.isdir(below(self.root, parent)):
            self.directory(parent, 0o755)
        try:
            os.mkdir(place, 0o700)
            self._undo.callback(_remove, place)  # with what came into it since
            before = None
        except FileExistsError:
            before = os.lstat(place)
            if not stat.S_ISDIR(before.st_mode):
                raise errors.InstallRefused(reason=f"{place} is there and is not a directory") from None
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if before is not None:
                self._undo.callback(_quietly, _restore, place, before)
            os.fchown(descriptor, *self._ids(uid, gid))
            os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """A file of root's."""
        place = below(self.root, path)
        self._keep(place)
        beside = f"{place}.new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        os.rename(beside, place)

    def link(self, path: str, target: str) -> bool:
        """A symbolic link. False where something else has that name already, which stays."""
        place = below(self.root, path)
        try:
            os.symlink(target, place)
        except FileExistsError:
            return os.path.islink(place) and os.readlink(place) == target
        self._undo.callback(_quietly, os.unlink, place)
        return True

    def tree(self, path: str, build: Callable[[str], None]) -> None:
        """A directory that ``build`` fills anew, under another name; it takes the place of the old one."""
        place = below(self.root, path)
        new, old = f"{place}.new", f"{place}.old"
        for left in (new, old):
            _remove(left)
        os.mkdir(new, 0o755)
        self._undo.callback(_remove, new)
        build(new)
        if os.path.lexists(place):
            os.rename(place, old)
            self._undo.callback(os.rename, old, place)
        os.rename(new, place)
        self._undo.callback(_remove, place)

    def _ids(self, uid: int, gid: int) -> tuple[int, int]:
        """Below another root than the host's, everything is ours: only the real root may give files away."""
        return (uid, gid) if os.geteuid() == 0 else (-1, -1)

    def _keep(self, place: str) -> None:
        """Bring a file back as it was."""
        try:
            descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:
                content, mode = file.read(), stat.S_IMODE(os.fstat(descriptor).st_mode)
        except FileNotFoundError:
            self._undo.callback(_quietly, os.unlink, place)
            return
        except OSError as error:
            raise errors.InstallRefused(reason=f"{place} cannot be replaced: {error.strerror}") from None
        self._undo.callback(_rewrite, place, content, mode)


def settle(root: str, path: str) -> None:
    """Remove what a replaced tree has left, once nothing can fail any more."""
    _remove(f"{below(root, path)}.old")


def _restore(place: str, before: os.stat_result) -> None:
    os.chown(place, before.st_uid, before.st_gid, follow_symlinks=False)
    os.chmod(place, stat.S_IMODE(before.st_mode))


def _rewrite(place: str, content: bytes, mode: int) -> None:
    beside = f"{place}.new"
    with open(beside, "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)
    os.rename(beside, place)


def _quietly(act: Callable[..., object], *arguments: object) -> None:
    with contextlib.suppress(OSError):
        act(*arguments)


def _remove(path: str) -> None:
    if os.path.lexists(path):
        shutil.rmtree(path)
