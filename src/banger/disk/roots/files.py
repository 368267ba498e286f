"""Roots that are files of ours: a qcow2 overlay, a clone, a copy.

A raw file is handed to a monitor as it is; to one that takes block devices alone, as the device that root makes of it
(``device``, by `operations.RawDisk`).

On disk: ``disk.qcow2``, or ``disk.raw`` (sparse, as large as the machine's disk).
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import tempfile
from collections.abc import Sequence

from banger import errors, proc
from banger.disk import copy, edit, grow, lasting, overlay
from banger.disk.guest_file import Edit
from banger.disk.roots.strategy import Place, Root, check_size
from banger.privileged import operations
from banger.privileged.runner import Privileged

QCOW2, RAW = "disk.qcow2", "disk.raw"


class Qcow2:
    """QEMU's own copy-on-write over the raw image. Needs no root and no file system in particular."""

    name, summary, offline = "qcow2", "a qcow2 file takes the writes", False

    async def unavailable(self, images: str, machines: str) -> str | None:
        try:
            proc.find("qemu-img")
        except errors.ToolMissing as missing:
            return missing.message
        return None

    async def make(self, place: Place) -> None:
        path = os.path.join(place.directory, QCOW2)
        if not os.path.exists(path):
            await overlay.create(path, place.base, place.size, durable=place.durable)

    async def attach(self, place: Place) -> Root:
        return Root(os.path.join(place.directory, QCOW2), "qcow2", place.base)

    async def detach(self, place: Place) -> None:
        """Nothing was taken."""

    async def edit(self, place: Place, edits: Sequence[Edit]) -> None:
        raise errors.UsageError(detail="a qcow2 file cannot be edited offline; the machine's loader brings its files")

    async def grow(self, place: Place) -> None:
        await grow.qcow2(os.path.join(place.directory, QCOW2), place.base, place.size, durable=place.durable)

    async def remove(self, place: Place) -> None:
        _unlink(os.path.join(place.directory, QCOW2))


class _Raw:
    """What a clone and a copy have in common. With ``device``, root makes a block device of the file."""

    name: str
    summary: str
    offline = True

    def __init__(self, device: Privileged | None = None) -> None:
        self._device = device

    async def _fill(self, base: str, path: str) -> None:
        raise NotImplementedError

    async def make(self, place: Place) -> None:
        path = os.path.join(place.directory, RAW)
        if os.path.exists(path):
            return
        check_size(place, os.path.getsize(place.base))
        async with lasting.replacing(path, durable=place.durable) as beside:
            await self._fill(place.base, beside)
            os.truncate(beside, place.size)
            os.chmod(beside, 0o600)

    async def attach(self, place: Place) -> Root:
        path = os.path.join(place.directory, RAW)
        if self._device is None:
            return Root(path, "raw")
        wanted = operations.RawDisk(vm_id=place.vm_id, file=path, work=place.work)
        made = await self._device.perform(wanted, change=place.change)
        return Root(str(made.values["device"]), "raw")

    async def detach(self, place: Place) -> None:
        if self._device is not None:
            await self._device.perform(operations.RemoveDisk(vm_id=place.vm_id), change=place.change)

    async def edit(self, place: Place, edits: Sequence[Edit]) -> None:
        if self._device is None:
            await edit.apply(os.path.join(place.directory, RAW), edits, scratch=place.directory)
        else:
            await self._device.perform(operations.Ext4Write.of(place.vm_id, edits), change=place.change)

    async def grow(self, place: Place) -> None:
        await grow.raw(os.path.join(place.directory, RAW), place.size, durable=place.durable)

    async def remove(self, place: Place) -> None:
        await self.detach(place)
        _unlink(os.path.join(place.directory, f"{RAW}.new"))
        _unlink(os.path.join(place.directory, RAW))


class Clone(_Raw):
    """A file of the machine's own that shares the image's blocks (FICLONE, on btrfs and xfs). Needs no root."""

    name, summary = "reflink", "a clone shares the image's blocks"

    async def unavailable(self, images: str, machines: str) -> str | None:
        return await asyncio.to_thread(_clones, images, machines)

    async def _fill(self, base: str, path: str) -> None:
        await copy.clone(base, path)


class Copy(_Raw):
    """A whole, sparse copy of the image. Works everywhere; takes the image's own space and time for each machine."""

    name, summary = "copy", "each machine has a whole copy of its image"

    async def unavailable(self, images: str, machines: str) -> str | None:
        return None

    async def _fill(self, base: str, path: str) -> None:
        await copy.copy(base, path, durable=False)


def _clones(images: str, machines: str) -> str | None:
    """Whether a file of the one directory can be cloned into the other, by trying."""
    try:
        with tempfile.TemporaryFile(dir=images) as source, tempfile.TemporaryFile(dir=machines) as target:
            source.write(b"x" * 4096)
            source.flush()
            fcntl.ioctl(target, copy.FICLONE, source.fileno())
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL):
            return "the file system below the state directory cannot share blocks between files (btrfs and xfs can)"
        if error.errno == errno.EXDEV:
            return "images and machines lie on different file systems"
        return error.strerror or str(error)
    return None


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
