"""A root that is a device-mapper snapshot: root makes the device, the file that takes the writes is ours.

On disk: ``overlay``, sparse, of the form and size that `banger.helper.snapshot` tells.
"""

import contextlib
import os
from collections.abc import Sequence

from banger import errors
from banger.disk import grow, lasting
from banger.disk.guest_file import Edit
from banger.disk.roots.strategy import Place, Root, check_size
from banger.privileged import operations
from banger.privileged.runner import Privileged

OVERLAY = "overlay"
_CONTROL = "/dev/mapper/control"


class Snapshot:
    """Block-level copy-on-write by the kernel, for monitors that take block devices. Needs root's help."""

    name, summary, offline = "snapshot", "the kernel copies what is written, block by block", True

    def __init__(self, privileged: Privileged | None) -> None:
        self._privileged = privileged

    async def unavailable(self, images: str, machines: str) -> str | None:
        if self._privileged is None:
            return "nobody here makes devices: it takes root, or the root helper"
        if not os.path.exists(_CONTROL):
            return f"the kernel has no device-mapper ({_CONTROL})"
        return None

    async def make(self, place: Place) -> None:
        path = os.path.join(place.directory, OVERLAY)
        check_size(place, os.path.getsize(place.base))
        size = self._file_size(place)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(descriptor, size)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise errors.from_os(error, path) from error
        if place.durable:
            await lasting.synced(path)
            await lasting.synced(place.directory)

    async def attach(self, place: Place) -> Root:
        made = await self._root().perform(self._operation(place), change=place.change)
        return Root(str(made.values["device"]), "raw")

    async def detach(self, place: Place) -> None:
        await self._root().perform(operations.RemoveDisk(vm_id=place.vm_id), change=place.change)

    async def edit(self, place: Place, edits: Sequence[Edit]) -> None:
        root = self._root()
        await root.perform(operations.SnapshotCheck(vm_id=place.vm_id), change=place.change)
        await root.perform(operations.Ext4Write.of(place.vm_id, edits), change=place.change)

    async def grow(self, place: Place) -> None:
        """The part beyond the image becomes longer; the store before it depends on the image alone."""
        await grow.raw(os.path.join(place.directory, OVERLAY), self._file_size(place), durable=place.durable)

    async def remove(self, place: Place) -> None:
        await self.detach(place)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(place.directory, OVERLAY))

    @staticmethod
    def _file_size(place: Place) -> int:
        try:
            return operations.layout(os.path.getsize(place.base), place.size).file
        except operations.Refused as refused:
            raise errors.UsageError(detail=str(refused)) from None

    def _operation(self, place: Place) -> operations.Snapshot:
        overlay = os.path.join(place.directory, OVERLAY)
        return operations.Snapshot(
            vm_id=place.vm_id, base=place.base, overlay=overlay, size=place.size, work=place.work
        )

    def _root(self) -> Privileged:
        if self._privileged is None:
            raise errors.RootStrategyUnavailable(name=self.name, reason="nobody here makes devices")
        return self._privileged
