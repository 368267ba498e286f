"""A driver and one machine's directories, for the conformance suite: what differs from one driver to the next.

Firecracker's monitors live in jails, which need root and a working KVM: it takes part where $BANGER_CONFORMANCE_ROOT
names a directory for them.
"""

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from banger.helper.host import Host
from banger.privileged.runner import Local
from banger.vmm import drivers
from banger.vmm.driver import Driver, Handle, LaunchSpec
from tests import tiny_guest

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)


ROOT = "BANGER_CONFORMANCE_ROOT"
CGROUPS = "/sys/fs/cgroup"


class Bench:
    """A driver with a directory for one machine, and the handles that a test has to end."""

    def __init__(
        self, name: str, host: Host | None, directory: Path, runtime: Path, guest: tiny_guest.Guest, cache: str
    ) -> None:
        self.driver = made(name, cache, host)
        self.host = host
        self.directory = directory
        self.runtime = runtime
        self.guest = guest
        self.handles: list[Handle] = []

    def spec(self, *cmdline: str, **changes: Any) -> LaunchSpec:
        spec = LaunchSpec(
            vm_id="0123456789abcdef",
            directory=str(self.directory),
            runtime=str(self.runtime),
            kernel=self.guest.kernel,
            initrd=self.guest.initrd,
            cmdline=cmdline,
            vcpus=1,
            memory=256 << 20,
            drives=(),
        )
        return msgspec.structs.replace(spec, **changes)

    def launch(self, *cmdline: str, **changes: Any) -> Handle:
        handle = run(self.driver.launch(self.spec(*cmdline, **changes)))
        self.handles.append(handle)
        return handle

    def end(self) -> None:
        for handle in self.handles:
            run(self.driver.kill(handle))


def made(name: str, cache: str, host: Host | None) -> Driver:
    return drivers.by_name(name, cache, Local(host) if host is not None else None)


def installation(directory: Path) -> Host:
    """What the driver's jails need: an owner's directory, root's own, and a control group."""
    (directory / "private").mkdir(mode=0o700)
    for each in ("cpu", "memory", "pids"):
        Path(CGROUPS, "cgroup.subtree_control").write_text(f"+{each}")
    return Host(
        owner_uid=os.geteuid(),
        owner_gid=os.getegid(),
        state=str(directory),
        private=str(directory / "private"),
        cgroup=f"{CGROUPS}/{directory.name}",
    )


def remove_empty(directory: Path) -> None:
    if directory.exists():
        directory.rmdir()


FIRECRACKER = ["firecracker"] if ROOT in os.environ else []
