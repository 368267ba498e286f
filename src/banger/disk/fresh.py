"""New files: one that becomes a file system is created, never overwritten, gone after a failure, and in the end
durable; one that becomes part of something else has a name of its own; one that replaces another does so whole."""

import contextlib
import errno
import os
from collections.abc import Iterator

from banger import errors


@contextlib.contextmanager
def new_file(path: str) -> Iterator[int]:
    """A descriptor of a file that did not exist before, and does not exist after a failure.

    Raises `errors.AlreadyExists`, `errors.DiskFull`, `errors.BuildFailed`.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise errors.AlreadyExists(kind="file", name=path) from None
    except OSError as fault:
        raise _from_os(fault, path) from None
    try:
        yield descriptor
    except BaseException as fault:
        os.unlink(path)
        if isinstance(fault, OSError):
            raise _from_os(fault, path) from None
        raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing(path: str, *, durable: bool = False) -> Iterator[str]:
    """The name of a file to make, beside ``path``: it takes that name when all went well, and is gone after a failure.

    What an earlier attempt left is removed before. ``durable``: content and name survive a power cut from then on.
    Whoever has the old file open keeps it. Raises `errors.DiskFull` and what else `errors.from_os` makes of an OSError.
    """
    beside = f"{path}.new"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        yield beside
        if durable:
            sync(beside)
        os.rename(beside, path)
        if durable:
            sync(os.path.dirname(path))
    except BaseException as fault:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        if isinstance(fault, OSError):
            raise errors.from_os(fault, path) from fault
        raise


def new_part(directory: str) -> tuple[int, str]:
    """A descriptor of a private new file in ``directory``, and its path, a name that nobody else has. Raises OSError.

    As tempfile's mkstemp, whose module takes longer to load than some builds have for all that they note.
    """
    path = os.path.join(directory, os.urandom(16).hex())
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), path


def sync(*paths: str) -> None:
    """Make files, or the names in directories, survive a power cut. Raises OSError."""
    for each in paths:
        descriptor = os.open(each, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _from_os(fault: OSError, path: str) -> errors.BangerError:
    if fault.errno in (errno.ENOSPC, errno.EDQUOT):
        return errors.DiskFull(path=path)
    return errors.BuildFailed(name=path, reason=fault.strerror or str(fault))
