"""The store: files that jails share, each named by its content.

On disk: ``store/<sha256>`` below root's directory, root's, 0444, on one file system with the jails, which hold hard
links to it. A name appears when the content is complete, checked and durable, and never with another content: what is
half written has no name, and a kill leaves nothing behind. A monitor that holds a link can read the file and nothing
else, for it is neither its owner nor the owner of a directory that others look into.

What no jail holds any more is a copy that nobody needs, and cheap to make again: it goes once it has not been used for
a day (`PruneStore`). An inode's ctime tells when it was used last, since every link and every request for it sets that.

The store does not use the reserve that file systems keep for root, so a caller cannot fill more of the disk through it
than by itself.
"""

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from . import grammar, turn, walk
from .host import Host
from .operation import Failed, Operation, Outcome, Refused

LIMIT = 2 << 30
UNUSED_SECONDS = 86_400
_CHUNK = 1 << 20
_ZEROS = bytes(_CHUNK)


@dataclass(frozen=True, kw_only=True)
class StoreFile(Operation):
    """Copy a file of the owner's into the store."""

    NAME: ClassVar[str] = "store.fill"
    GATE: ClassVar[str] = (
        "Anything but a regular file of the owner's below the state directory, reached without a link, "
        "of at most 2 GiB, with exactly the named content."
    )

    path: str
    sha256: str

    def validate(self, host: Host) -> None:
        grammar.sha256(self.sha256)
        walk.components(host.state, self.path)

    def turn(self) -> str:
        return _turn(self.sha256)

    def describe(self) -> str:
        return f"store {self.path!r} as {self.sha256}"

    def execute(self, host: Host, descriptors: Sequence[int] = ()) -> Outcome:
        self.validate(host)
        directory = open_store(host)
        try:
            if not _present(directory, self.sha256):
                source = walk.open_below(host.state, self.path, os.O_RDONLY, owner=host.owner_uid)
                try:
                    take(source, directory, self.sha256, sha256=self.sha256)
                    os.fsync(directory)
                finally:
                    os.close(source)
        except OSError as error:
            raise Failed(f"the store: {error.strerror}") from None
        finally:
            os.close(directory)
        return Outcome({"sha256": self.sha256})

    def undo(self, host: Host) -> None:
        grammar.sha256(self.sha256)
        directory = open_store(host)
        try:
            with contextlib.suppress(FileNotFoundError):
                if os.stat(self.sha256, dir_fd=directory, follow_symlinks=False).st_nlink == 1:
                    os.unlink(self.sha256, dir_fd=directory)
        except OSError as error:
            raise Failed(f"the store: {error.strerror}") from None
        finally:
            os.close(directory)


@dataclass(frozen=True, kw_only=True)
class PruneStore(Operation):
    """Remove from the store what no jail has held and nobody has asked for within a day; answers how many ``bytes``."""

    NAME: ClassVar[str] = "store.prune"
    GATE: ClassVar[str] = "Whatever a jail holds, or was stored, asked for or held by one within a day."

    def turn(self) -> str:
        return ""  # of each file, one after the other

    def describe(self) -> str:
        return "prune the store"

    def execute(self, host: Host, descriptors: Sequence[int] = ()) -> Outcome:
        directory = open_store(host)
        try:
            freed = 0
            for name in os.listdir(directory):
                with turn.taken(_turn(name), host):
                    freed += _pruned(directory, name)
            return Outcome({"bytes": freed})
        except OSError as error:
            raise Failed(f"the store: {error.strerror}") from None
        finally:
            os.close(directory)

    def undo(self, host: Host) -> None:
        """Nothing: who needs a file stores it again."""


def _turn(sha256: str) -> str:
    return f"store {sha256}"


def _pruned(directory: int, name: str) -> int:
    """Remove a stored file that is not used; its size, or 0 where it stays."""
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return 0
    if found.st_nlink > 1 or time.time() - found.st_ctime < UNUSED_SECONDS:
        return 0
    os.unlink(name, dir_fd=directory)
    return found.st_blocks * 512


def open_store(host: Host) -> int:
    """A descriptor of the store's directory, made if need be; the caller closes it."""
    return open_own(host, "store")


def open_own(host: Host, name: str) -> int:
    """A descriptor of a directory of root's alone below root's own; made if need be. Raises `Failed`."""
    path = os.path.join(host.private, name)
    try:
        private = _root_directory(host.private)
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=private)
            return _root_directory(path, name, private)
        finally:
            os.close(private)
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}") from None


def _root_directory(path: str, name: str | None = None, parent: int | None = None) -> int:
    directory = os.open(name or path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    found = os.fstat(directory)
    if found.st_uid != 0 or found.st_mode & 0o022:
        os.close(directory)
        raise Failed(f"{path} is not root's alone")
    return directory


def link(host: Host, sha256: str, directory: int, name: str) -> None:
    """A hard link to a stored file as ``name`` in a jail's directory. Raises `Failed`."""
    store = open_store(host)
    try:
        found = os.stat(sha256, dir_fd=store, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o222:
            raise Failed(f"{sha256} in the store is not as we left it")
        os.link(sha256, name, src_dir_fd=store, dst_dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        raise Failed(f"{sha256} is not in the store") from None
    except OSError as error:
        raise Failed(f"{name} cannot be linked from the store: {error.strerror}") from None
    finally:
        os.close(store)


def _present(directory: int, sha256: str) -> bool:
    """Whether it is there; that somebody has asked is noted."""
    try:
        found = os.open(sha256, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return False
    try:
        os.fchmod(found, stat.S_IMODE(os.fstat(found).st_mode))  # it stays, and is used now
    finally:
        os.close(found)
    return True


def take(source: int, directory: int, name: str, *, sha256: str | None = None) -> None:
    """Copy what an open file of a caller's holds to root's file ``name``, which appears when it is complete.

    With ``sha256`` it has that content, and is on the disk then. Raises `Refused`, `Failed` and `OSError`.
    """
    found = os.fstat(source)
    if not stat.S_ISREG(found.st_mode):
        raise Refused("only a regular file can be stored")
    if found.st_size > LIMIT:
        raise Refused(f"a file of {found.st_size} bytes is too large for the store")
    free = os.fstatvfs(directory)
    if found.st_blocks * 512 > free.f_bavail * free.f_frsize:
        raise Failed("the store: no space left on device")
    unnamed = os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=directory)
    try:
        content = _copy(source, unnamed)
        os.fchown(unnamed, 0, 0)
        os.fchmod(unnamed, 0o444)
        if sha256 is not None:
            if content != sha256:
                raise Refused(f"the content is not {sha256}")
            os.fsync(unnamed)
        with contextlib.suppress(FileExistsError):  # somebody else was quicker, with the same content
            os.link(f"/proc/self/fd/{unnamed}", name, dst_dir_fd=directory, follow_symlinks=True)
    finally:
        os.close(unnamed)


def _copy(source: int, target: int) -> str:
    """Copy to the end, holes as holes; the sha256 of what was written."""
    digest = hashlib.sha256()
    size = 0
    while chunk := os.read(source, _CHUNK):
        size += len(chunk)
        if size > LIMIT:
            raise Refused("the file grows beyond what the store takes")
        digest.update(chunk)
        if chunk == _ZEROS:
            os.lseek(target, len(chunk), os.SEEK_CUR)
            continue
        view = memoryview(chunk)
        while view:
            view = view[os.write(target, view) :]
    os.ftruncate(target, size)
    return digest.hexdigest()
