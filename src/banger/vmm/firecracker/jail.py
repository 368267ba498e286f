"""A machine's jail, as the driver uses it: what is asked of the root helper, and how its answers are told.

An operation is never left alone: whoever is cancelled meanwhile waits for its end first, so that what it made can be
taken back.
"""

import asyncio
import contextlib
import hashlib
import logging
import os
import socket
import time
from collections.abc import Coroutine
from typing import Any, NamedTuple, TypeVar

from banger import errors
from banger.privileged.operations import (
    Connect,
    Contain,
    Inspect,
    Launch,
    Metrics,
    PruneStore,
    Signal,
    StoredFile,
    StoreFile,
    Sweep,
)
from banger.privileged.runner import Privileged
from banger.vmm.driver import LaunchSpec
from banger.vmm.firecracker import configuration

log = logging.getLogger("banger.vmm")

T = TypeVar("T")
_REMEMBERED = 256
_MIB = 1 << 20
_DAY = 86_400.0
_WEIGHT = 100
"""Of each processor of a guest's: machines that compete get as much of the host as they have processors."""


class Launched(NamedTuple):
    """The monitor's process; the socket that listens for its guest (`doorbell`), and a connection to its API.

    Both are the caller's to close.
    """

    pid: int
    start_ticks: int
    doorbell: int
    api: socket.socket


class Jail:
    """The jails of one installation. All raises `errors.VmmFailed`, `errors.DiskFull` or `errors.HelperUnavailable`."""

    def __init__(self, privileged: Privileged) -> None:
        self._privileged = privileged
        self._digests: dict[str, tuple[tuple[int, ...], str]] = {}
        self._stored: set[str] = set()
        """Digests of what machines share that have been seen to be in the store."""
        self._launching = 0
        self._pruned = -_DAY

    async def launch(self, spec: LaunchSpec, console: int) -> Launched:
        """Put the machine's files into the store and its monitor into a jail; its output goes to ``console``."""
        self._launching += 1
        try:
            await self._prune()
            return await self._launch(spec, console)
        finally:
            self._launching -= 1

    async def _prune(self) -> None:
        """Once a day have removed what nobody uses. Not beside another launch, which counts on what it has stored."""
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        if self._launching > 1 or now - self._pruned < _DAY:
            return
        self._pruned = now
        self._stored.clear()
        try:
            await _whole(self._privileged.perform(PruneStore()))
        except errors.BangerError as failed:
            log.warning("the root helper's store is not pruned: %s", failed.message)

    async def _launch(self, spec: LaunchSpec, console: int) -> Launched:
        files = [drive for drive in spec.drives if not configuration.is_device(drive)]
        devices = [drive.serial for drive in spec.drives if configuration.is_device(drive)]
        kernel = await self._shared(spec.kernel, spec.vm_id)
        stored = [StoredFile(drive.serial, await self._shared(drive.path, spec.vm_id)) for drive in files]
        operation = Launch(
            vm_id=spec.vm_id,
            slot=spec.slot,
            kernel=kernel,
            files=tuple(stored),
            device="root" in devices,
            work="work" in devices,
            tap=getattr(spec.network, "tap", None),
            vcpus=spec.vcpus,
            memory=spec.memory // _MIB,
            cpu_weight=_WEIGHT * spec.vcpus,
            io_bytes=spec.limits.io_bytes,
            io_operations=spec.limits.io_operations,
        )
        try:
            with open(spec.initrd, "rb") as initrd:
                outcome = await _whole(self._privileged.perform(operation, descriptors=(console, initrd.fileno())))
        except OSError as error:
            raise errors.VmmFailed(reason=f"{spec.initrd}: {error.strerror}", name=spec.vm_id) from None
        except errors.BangerError as failed:
            self._stored.clear()  # it may have failed because what was there is not there any more
            raise _told(failed, spec.vm_id) from None
        pid, ticks = outcome.values.get("pid"), outcome.values.get("start_ticks")
        assert isinstance(pid, int) and isinstance(ticks, int)
        doorbell, api = outcome.descriptors
        return Launched(pid, ticks, doorbell, _connection(api))

    async def _shared(self, path: str, vm_id: str) -> str:
        """Put a file that many machines have into the store, under its sha256: one request for all of them."""
        sha256 = await self._sha256(path, vm_id)
        if sha256 not in self._stored:
            try:
                await _whole(self._privileged.perform(StoreFile(path=path, sha256=sha256)))
            except errors.BangerError as failed:
                raise _told(failed, vm_id) from None
            self._stored.add(sha256)
        return sha256

    async def _sha256(self, path: str, vm_id: str) -> str:
        try:
            return await asyncio.to_thread(self._digest, path)
        except OSError as error:
            raise errors.VmmFailed(reason=f"{path}: {error.strerror}", name=vm_id) from None

    def _digest(self, path: str) -> str:
        """A file's sha256, read once for as long as it is the same file."""
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            identity = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
            known = self._digests.get(path)
            if known is not None and known[0] == identity:
                return known[1]
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if len(self._digests) >= _REMEMBERED:
            self._digests.clear()
        self._digests[path] = (identity, sha256)
        return sha256

    async def connect(self, vm_id: str, name: str) -> socket.socket:
        """A connection to the monitor's socket ``name`` (``api`` or ``vsock``), non-blocking."""
        try:
            outcome = await _whole(self._privileged.perform(Connect(vm_id=vm_id, socket=name)))
        except errors.BangerError as failed:
            raise _told(failed, vm_id) from None
        return _connection(outcome.descriptors[0])

    async def contain(self, vm_id: str) -> None:
        """Count the kernel's timer thread for a guest that has begun against its machine; a failure is logged."""
        try:
            await _whole(self._privileged.perform(Contain(vm_id=vm_id)))
        except errors.BangerError as failed:
            log.warning("the timer of %s is not counted against it: %s", vm_id, failed.message)

    async def metrics(self, vm_id: str) -> int | None:
        """The reading end of the monitor's pipe for metrics, the caller's to close; a failure is logged, and None."""
        try:
            outcome = await _whole(self._privileged.perform(Metrics(vm_id=vm_id)))
        except errors.BangerError as failed:
            log.warning("the metrics of %s are not kept: %s", vm_id, failed.message)
            return None
        return outcome.descriptors[0]

    async def kill(self, vm_id: str, pid: int, start_ticks: int) -> None:
        """SIGKILL to the monitor, if it still is that process."""
        try:
            await self._privileged.perform(Signal(vm_id=vm_id, pid=pid, start_ticks=start_ticks, signal="KILL"))
        except errors.BangerError as failed:
            raise _told(failed, vm_id) from None

    async def sweep(self, vm_id: str) -> None:
        """End whatever lives in the jail, and remove it."""
        try:
            await _whole(self._privileged.perform(Sweep(vm_id=vm_id)))
        except errors.BangerError as failed:
            raise _told(failed, vm_id) from None

    async def killed_for_memory(self, vm_id: str) -> bool:
        """Whether the kernel has killed the monitor since its control group had reached its limit."""
        try:
            outcome = await self._privileged.perform(Inspect(vm_id=vm_id))
        except errors.BangerError:
            return False
        limits = outcome.values.get("limits")
        events = str(limits.get("memory.events", "")) if isinstance(limits, dict) else ""
        counts = dict(line.split() for line in events.splitlines() if len(line.split()) == 2)
        return counts.get("oom_kill", "0") != "0"


def _connection(descriptor: int) -> socket.socket:
    connected = socket.socket(fileno=descriptor)
    connected.setblocking(False)
    return connected


async def _whole(performing: Coroutine[Any, Any, T]) -> T:
    """Its result; a cancellation is passed on once it has ended, with nothing of it left open."""
    task = asyncio.ensure_future(performing)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({task})
        if not task.cancelled() and task.exception() is None:
            for descriptor in getattr(task.result(), "descriptors", ()):
                os.close(descriptor)
        raise


def _told(failed: errors.BangerError, vm_id: str) -> errors.BangerError:
    """What the helper's answer means for a machine."""
    if isinstance(failed, errors.PrivilegeFailed | errors.PrivilegeRefused):
        reason = str(failed.data.get("reason", failed.message))
        if "no space left" in reason.lower():
            return errors.DiskFull(path="the root helper's directory")
        return errors.VmmFailed(reason=reason, name=vm_id)
    return failed
