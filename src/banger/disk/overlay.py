"""qcow2 overlays: a machine's own writes over a raw, shared, read-only image.

The overlay names its backing file and that file's format, for people who look at it with qemu-img; a driver names
both again and trusts neither, as the guest writes to this file.
"""

import contextlib
import errno
import os

from banger import errors, proc


async def create(path: str, backing: str, size: int | None = None) -> int:
    """Create an empty overlay of ``size`` bytes (the image's own size unless given); returns its size.

    Raises `errors.ImageTooSmall` for less than the image holds, `errors.DiskFull`; a failure leaves no file.
    """
    needed = os.path.getsize(backing)
    size = needed if size is None else size
    if size < needed:
        raise errors.ImageTooSmall(size=size, needed=needed)
    if size % 512:
        raise errors.UsageError(detail=f"a disk's size is a multiple of 512 bytes, not {size}")
    options = f"backing_file={backing.replace(',', ',,')},backing_fmt=raw"
    try:
        await proc.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", options, path, str(size)], timeout=60)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        if isinstance(error, errors.ToolFailed) and os.strerror(errno.ENOSPC) in str(error):
            raise errors.DiskFull(path=path) from None
        raise
    return size
