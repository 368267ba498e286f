"""qcow2 overlays: a machine's own writes over a raw, shared, read-only image.

The overlay names its backing file and that file's format, for people who look at it with qemu-img; a driver names
both again and trusts neither, as the guest writes to this file.

An empty overlay is a header and three tables with next to nothing in them, which takes no program to write (QEMU's
docs/interop/qcow2.txt, version 3; numbers are big-endian)::

    cluster 0   header, extension with the backing file's format, the backing file's name
    cluster 1   refcount table: one entry, cluster 2
    cluster 2   refcount block: 1 for each cluster that is here
    cluster 3   L1 table, zeros: everything comes from the backing file; as many clusters as it takes
"""

import os
import struct

from banger import errors
from banger.disk import lasting

CLUSTER_BITS = 16
CLUSTER = 1 << CLUSTER_BITS
L1_COVERS = CLUSTER * (CLUSTER // 8)
"""Bytes of the disk behind one entry of the L1 table."""

NAME_LIMIT = 1023
_HEADER = ">4sIQIIQIIQQIIQQQQII"
_FORMAT_EXTENSION = 0xE2792ACA


async def create(path: str, backing: str, size: int | None = None, *, durable: bool = False) -> int:
    """Create an empty overlay of ``size`` bytes (the image's own size unless given); returns its size.

    ``durable``: it survives a power cut from here on. Raises `errors.ImageTooSmall` for less than the image holds,
    `errors.DiskFull`; a failure leaves no file.
    """
    needed = os.path.getsize(backing)
    size = needed if size is None else size
    if size < needed:
        raise errors.ImageTooSmall(size=size, needed=needed)
    if size % 512:
        raise errors.UsageError(detail=f"a disk's size is a multiple of 512 bytes, not {size}")
    async with lasting.replacing(path, durable=durable) as beside:
        _write(beside, _clusters(os.fsencode(backing), size))
    return size


def _write(path: str, clusters: list[bytes]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        for number, content in enumerate(clusters):
            if content:
                os.pwrite(descriptor, content, number * CLUSTER)
        os.ftruncate(descriptor, len(clusters) * CLUSTER)
    finally:
        os.close(descriptor)


def _clusters(backing: bytes, size: int) -> list[bytes]:
    """What each cluster begins with; the rest of it is zeros."""
    if len(backing) > NAME_LIMIT:
        raise errors.UsageError(detail=f"the path of an image has at most {NAME_LIMIT} bytes")
    entries = -(-size // L1_COVERS)
    tables = max(1, -(-entries * 8 // CLUSTER))
    extensions = struct.pack(">II3s5xII", _FORMAT_EXTENSION, 3, b"raw", 0, 0)
    length = struct.calcsize(_HEADER)
    header = struct.pack(
        _HEADER, b"QFI\xfb", 3, length + len(extensions), len(backing), CLUSTER_BITS, size, 0, entries, 3 * CLUSTER,
        CLUSTER, 1, 0, 0, 0, 0, 0, 4, length,
    )  # fmt: skip
    refcounts = struct.pack(f">{3 + tables}H", *[1] * (3 + tables))
    return [header + extensions + backing, struct.pack(">Q", 2 * CLUSTER), refcounts, *[b""] * tables]
