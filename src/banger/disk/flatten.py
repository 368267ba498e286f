"""A machine's disk becomes one raw file: what it has written over its image, as an image of its own.

Both an overlay's content and, where a monitor was taken over, its header are hostile. The header is judged before
qemu-img opens the file: an external data file or another backing file could name any file of this host. The resulting
file system is repaired and checked by e2fsck, and only then may anybody mount it. Nothing in it is run or followed.
"""

import contextlib
import errno
import os
import struct

from banger import errors, proc

MAGIC = 0x514649FB
_HEADER = struct.Struct(">IIQIIQIIQQIIQQQQII")
"""Version 3, as docs/interop/qcow2.txt of QEMU has it: the fields up to ``header_length``."""

HEADER_SIZE = _HEADER.size

_DIRTY = 1 << 0
"""The one incompatible feature that is borne: reference counts may be off, as after a kill."""

BOUNDED = ("prlimit", f"--as={4 << 30}")
"""What works on hostile data has a limit of memory, and one of time."""

CONVERT_TIMEOUT, CHECK_TIMEOUT = 1800.0, 1800.0
_REPAIRED = (0, 1, 2)
"""Statuses of e2fsck(8) for a file system that is in order by now."""


def check_header(data: bytes) -> int:
    """The virtual size that the header of a qcow2 file states. Raises ValueError, with the reason."""
    if len(data) < _HEADER.size:
        raise ValueError("it is shorter than a header")
    fields = _HEADER.unpack_from(data)
    magic, version, size, encryption, incompatible = fields[0], fields[1], fields[5], fields[6], fields[13]
    if magic != MAGIC or version != 3:
        raise ValueError("it is no qcow2 file of version 3")
    if encryption:
        raise ValueError("it is encrypted")
    if incompatible & ~_DIRTY:
        raise ValueError(f"it has features that no disk of ours has ({incompatible:#x})")
    return int(size)


async def flatten(disk: str, backing: str | None, output: str, limit: int) -> int:
    """Write what ``disk`` amounts to into the new, sparse file ``output``: an overlay over the raw file ``backing``, or
    without one a raw file.

    Returns its size. Raises `errors.DiskFull`, and `errors.BuildFailed` for an overlay that is none of ours or claims
    more than ``limit`` bytes. A failure leaves no file.
    """
    with open(disk, "rb") as file:
        try:
            size = os.fstat(file.fileno()).st_size if backing is None else check_header(file.read(HEADER_SIZE))
        except ValueError as error:
            raise errors.BuildFailed(name=output, reason=f"the machine's disk cannot be used: {error}") from None
    if size > limit:
        raise errors.BuildFailed(name=output, reason=f"the machine's disk claims {size} bytes")
    image = f"driver=raw,file.driver=file,file.filename={_option(disk)}"
    if backing is not None:
        image = overlay_options(disk, backing)
    try:
        convert = ["convert", "-O", "raw", "-S", "4k", "--image-opts", image, output]
        await proc.run([*BOUNDED, proc.find("qemu-img"), *convert], timeout=CONVERT_TIMEOUT)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(output)
        if isinstance(error, errors.ToolFailed) and os.strerror(errno.ENOSPC) in str(error):
            raise errors.DiskFull(path=output) from None
        raise
    return size


async def repair(path: str) -> None:
    """Replay the journal, mend what can be mended, and turn free blocks into holes; then check once more.

    Raises `errors.BuildFailed` for what is not a sound ext4 file system afterwards.
    """
    check = [*BOUNDED, proc.find("e2fsck")]
    mended = await proc.run([*check, "-fy", "-E", "discard", path], timeout=CHECK_TIMEOUT, check=False)
    if mended.status not in _REPAIRED:
        raise errors.BuildFailed(name=path, reason="the machine's disk no longer holds a sound file system")
    checked = await proc.run([*check, "-fn", path], timeout=CHECK_TIMEOUT, check=False)
    if checked.status != 0:
        raise errors.BuildFailed(name=path, reason="the machine's file system has errors that cannot be mended")


def overlay_options(path: str, backing: str) -> str:
    """An overlay and the raw file below it as qemu-img is told of them: nothing is taken from the file's own header."""
    below = f"backing.driver=raw,backing.file.driver=file,backing.file.filename={_option(backing)}"
    return f"driver=qcow2,file.driver=file,file.filename={_option(path)},{below}"


def _option(path: str) -> str:
    return path.replace(",", ",,")
