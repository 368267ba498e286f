"""What the tasks of machines work with, handed to each of them as one value."""

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from banger import errors
from banger.config.settings import Config
from banger.disk import staging
from banger.engine.change import Report, Resource
from banger.images.service import ImageService
from banger.kernels.service import KernelService
from banger.net.service import GuestNetwork
from banger.paths import Paths
from banger.privileged.runner import Privileged
from banger.ssh import host_keys
from banger.vmm.drivers import Drivers
from banger.vms.connections import Connections
from banger.vms.forwards import Forwards
from banger.vms.record import Machines, VmRecord
from banger.vms.watch import Watch


@dataclass(frozen=True, kw_only=True)
class Parts:
    """One daemon's means to make, run and end machines."""

    machines: Machines
    images: ImageService
    kernels: KernelService
    drivers: Drivers
    connections: Connections
    forwards: Forwards
    watch: Watch
    paths: Paths
    settings: Config
    own_users: bool
    """We are root: monitors without a jail run as users of their own all the same."""
    privileged: Privileged | None = None
    """Who does what needs root, if anybody does."""
    network: GuestNetwork | None = None
    """Of machines in jails."""
    ready: Callable[[VmRecord], None]
    """Told of every machine that has begun to run."""
    hurry: dict[str, asyncio.Event] = field(default_factory=dict)
    """By change: somebody asked an orderly stop to become a quick one."""

    def prepare_directories(self) -> None:
        """Ours alone; under root the monitors' users may pass through to what is theirs, without listing anything.

        What an earlier daemon left while it made a host key goes: half of that is a secret.
        """
        paths = self.paths
        for directory in (paths.state, paths.vms, paths.images, paths.kernels, paths.staging):
            os.makedirs(directory, mode=0o700, exist_ok=True)
            if self.own_users and directory != paths.staging:
                os.chmod(directory, 0o711)  # noqa: S103 - a way through, not a view
        staging.sweep(paths.staging, host_keys.STAGING)

    def uid(self, record: VmRecord) -> int | None:
        """The user that the machine's monitor runs as, and that owns its files; None for ourselves."""
        return self.settings.vmm_uid_base + record.slot if self.own_users and not record.jailed else None

    @property
    def root(self) -> Privileged:
        """Who does what needs root. Raises `errors.HelperUnavailable` where nobody does."""
        if self.privileged is None:
            raise errors.HelperUnavailable(reason="there is none on this host")
        return self.privileged

    def need(self, vm_id: str) -> VmRecord:
        """The record of a machine that a change is about. Raises `errors.NotFound`."""
        record = self.machines.get(vm_id)
        if record is None:
            raise errors.NotFound(kind="machine", name=vm_id)
        return record


class Made:
    """A `Resource` in words."""

    def __init__(self, kind: str, identity: str) -> None:
        self.kind = kind
        self.identity = identity


class Step:
    """A task that leaves nothing behind, unless a subclass says otherwise."""

    name: str
    resource: Resource | None = None
    recorded: Mapping[str, object] = {}

    def __init__(self, parts: Parts, vm_id: str) -> None:
        self.parts = parts
        self.vm_id = vm_id

    async def do(self, report: Report) -> None:
        raise NotImplementedError

    async def undo(self, report: Report) -> None:
        """Nothing was made."""
