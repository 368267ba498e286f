"""A disk of ours becomes larger while nothing uses it; what is in it stays, and no disk ever becomes smaller.

The file system inside is not touched: the guest's loader makes it as large as its disk when it mounts it, which the
kernel does for a mounted ext4 without any tool. A qcow2 file's header is judged before qemu-img opens the file, as in
`banger.disk.flatten`: a monitor that was taken over could have written it.

``durable``: the new size survives a power cut, since the record that follows promises it.
"""

import errno
import os

from banger import errors, proc
from banger.disk import lasting
from banger.disk.flatten import BOUNDED, HEADER_SIZE, check_header, overlay_options

GROW_TIMEOUT = 60.0


async def raw(path: str, size: int, *, durable: bool = True) -> None:
    """Make a raw file at least ``size`` bytes long: a hole at its end. Raises what `errors.from_os` makes of it."""
    try:
        if os.stat(path).st_size < size:
            os.truncate(path, size)
    except OSError as error:
        raise errors.from_os(error, path) from error
    if durable:  # also where it was as large: whoever made it so may have died before it lasted
        await lasting.synced(path)


async def qcow2(path: str, backing: str, size: int, *, durable: bool = True) -> None:
    """Make an overlay over the raw file ``backing`` at least ``size`` bytes large.

    Raises `errors.UnusableDisk` for an overlay that is none of ours, `errors.DiskFull`. A child that is killed in the
    middle leaves a file that is as large as before, or as wanted.
    """
    try:
        with open(path, "rb") as file:
            present = check_header(file.read(HEADER_SIZE))
    except OSError as error:
        raise errors.from_os(error, path) from error
    except ValueError as error:
        raise errors.UnusableDisk(path=path, reason=f"it cannot be made larger: {error}") from None
    if present < size:
        await _resized(path, backing, size)
    if durable:
        await lasting.synced(path)


async def _resized(path: str, backing: str, size: int) -> None:
    resize = ["resize", "-q", "--image-opts", overlay_options(path, backing), str(size)]
    try:
        await proc.run([*BOUNDED, proc.find("qemu-img"), *resize], timeout=GROW_TIMEOUT)
    except errors.ToolFailed as error:
        if os.strerror(errno.ENOSPC) in str(error):
            raise errors.DiskFull(path=path) from None
        raise
