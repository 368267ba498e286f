"""The files of device-mapper snapshots: what such a machine has written, beside the image that it shares.

A sparse file, whose parts `banger.helper.snapshot` describes; what makes a device of it is the operation ``Snapshot``.
"""

import os

from banger import errors
from banger.privileged.operations import layout


def create(path: str, backing: str, size: int) -> None:
    """Create an empty overlay for a disk of ``size`` bytes over the raw image ``backing``.

    Raises `errors.ImageTooSmall` for less than the image holds, and OSError; a failure leaves no file.
    """
    needed = os.path.getsize(backing)
    if size < needed:
        raise errors.ImageTooSmall(size=size, needed=needed)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(descriptor, layout(needed, size).file)
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(descriptor)
