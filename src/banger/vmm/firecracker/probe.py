"""Whether Firecracker runs guests here, found out by running one; kept until the host or what is installed changes.

A /dev/kvm that can be opened proves little (see `banger.vmm.stub`), and we ourselves need no right to it: the monitor
gets it in its jail. So the probe is a machine like any other, put into a jail by the root helper, whose guest ends by
itself within milliseconds. A guest that has said nothing `PATIENCE` seconds after its start never will.

On disk: ``firecracker.json`` in the cache's probe directory, a `Probe` with the key of what it was measured on. The
probe's guest is made below the owner's state directory, since the helper takes files from nowhere else.
"""

import asyncio
import os
import platform
import secrets
import tempfile
from collections.abc import Awaitable, Callable

import msgspec

from banger import errors
from banger.privileged.runner import Privileged
from banger.vmm import kept, stub
from banger.vmm.driver import LaunchSpec
from banger.vmm.firecracker import configuration, ending, programs

KVM = "/dev/kvm"
PATIENCE = 10.0

Boots = Callable[[LaunchSpec, float], Awaitable[str | None]]
"""Runs a machine to its end; None, or why that failed."""


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """The measured answer."""

    key: str
    usable: bool
    reason: str
    mend: str = ""
    warnings: tuple[str, ...] = ()


async def probe(privileged: Privileged, cache: str, boots: Boots) -> Probe:
    """The cached answer, or a measured one."""
    host = privileged.host
    facts = (
        programs.identity(host.firecracker), programs.identity(host.jailer), _device(KVM), host.private,
        platform.release(), kept.boot_id(),
    )  # fmt: skip
    key = " ".join(facts)
    path = os.path.join(cache, "firecracker.json")
    known = kept.load(path, Probe)
    if known is not None and known.key == key:
        return known
    judged = await programs.judge(host.firecracker, host.jailer)
    found = Probe(key=key, usable=False, reason=judged.reason, warnings=judged.warnings)
    if not judged.usable:
        return msgspec.structs.replace(found, mend=programs.MEND)
    refusal = f"there is no {KVM}" if not os.path.exists(KVM) else await _try(host.state, host.uid_count - 1, boots)
    if refusal is not None:
        return msgspec.structs.replace(found, reason=f"{judged.reason} does not run guests here: {refusal}")
    found = msgspec.structs.replace(found, usable=True, reason=f"{judged.reason}: {KVM} runs guests")
    kept.save(path, found)  # a failure may be the moment's (memory, load): it is not kept
    return found


async def _try(state: str, slot: int, boots: Boots) -> str | None:
    """Run the tiny guest, in the last slot, which ordinary machines reach last."""
    try:
        with tempfile.TemporaryDirectory(prefix="probe-", dir=state) as directory:
            guest = os.path.join(directory, "stub.elf")
            await asyncio.to_thread(_write, guest)
            spec = LaunchSpec(
                vm_id=secrets.token_hex(8),
                directory=directory,
                runtime=directory,
                kernel=guest,
                initrd=guest,
                cmdline=(),
                vcpus=1,
                memory=configuration.MEMORY_LEAST,
                drives=(),
                slot=slot,
            )
            refusal = await boots(spec, PATIENCE)
            said = ending.of_guest(os.path.join(directory, "console.log"))
    except OSError as error:
        return errors.from_os(error, state).message
    if refusal is None and not any(line.strip() == stub.SAID for line in said.splitlines()):
        return "the guest ended before it had done anything"
    return refusal


def _device(path: str) -> str:
    """What tells this device from another; not by its times, which udev changes with every virtual machine."""
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return f"{found.st_rdev}:{found.st_mode:o}:{found.st_uid}:{found.st_gid}"


def _write(path: str) -> None:
    with open(path, "wb") as file:
        file.write(stub.elf())
