"""From what a client asks for to a record in which everything is decided, checked before anything exists.

What the request leaves out comes from the settings. Every refusal is an error of its own class, and happens here.
"""

import os
import re
import secrets
import time
from collections.abc import Collection, Mapping

from banger import errors
from banger.api.vm import CreateVm
from banger.config.settings import Config
from banger.config.sizes import DISK_LEAST, DISK_LIMIT, format_size
from banger.vmm.driver import Features, UserNetwork
from banger.vms import labels, names, published
from banger.vms.deadline import LONGEST
from banger.vms.record import Machines, VmRecord

VCPU_LIMIT = 64
MEMORY_LEAST = 128 << 20
"""What a distribution's kernel needs to unpack itself and its initrd, with something left to run in."""

ENVIRONMENT_LIMIT = 128 << 10
"""Most bytes of a machine's environment: half of what one request to the agent can carry."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def decide(
    request: CreateVm, settings: Config, machines: Machines, promised: Collection[str], driver: str, features: Features
) -> VmRecord:
    """The record of a machine to be made; nothing is stored yet. ``promised`` are names given to machines to come.

    Raises `errors.InvalidName`, `errors.UsageError`, `errors.AlreadyExists`, `errors.NoWayOut`.
    """
    if request.name is None:
        name = names.generate({each.name for each in machines.all()}.union(promised))
    else:
        name = names.check(request.name)
        if machines.named(name) is not None:
            raise errors.AlreadyExists(kind="machine", name=name)
    if request.ephemeral and not request.start:
        raise errors.UsageError(detail="an ephemeral machine is started at once")
    nat = settings.vm_defaults.nat if request.nat is None else request.nat
    if request.outside and not (nat or features.user_networking):
        raise errors.NoWayOut()
    return VmRecord(
        id=secrets.token_hex(8),
        name=name,
        image=request.image if request.image is not None else settings.default_image,
        kernel=request.kernel if request.kernel is not None else "",
        vcpu=vcpu(settings.vm_defaults.vcpu if request.vcpu is None else request.vcpu),
        memory=memory(settings.vm_defaults.memory if request.memory is None else request.memory),
        disk_size=disk(0 if request.disk_size is None else request.disk_size),
        work_disk_size=disk(0 if request.work_disk_size is None else request.work_disk_size),
        env=dict(environment(request.env)),
        labels=dict(labels.check(request.labels)),
        ephemeral=request.ephemeral,
        ttl=None if request.ttl is None else time_limit(request.ttl),
        driver=driver,
        jailed=features.jail,
        network=UserNetwork(host_loopback=settings.vm_defaults.host_loopback) if features.user_networking else None,
        nat=nat,
        private=settings.vm_defaults.private,
        peers=settings.vm_defaults.peers if request.peers is None else request.peers,
        host=settings.vm_defaults.host_loopback,
        publish=published.read(request.publish),
        created=time.time(),
    )


def environment(env: Mapping[str, str]) -> Mapping[str, str]:
    """``env`` itself. Raises `errors.UsageError` for what cannot be an environment."""
    for name, value in env.items():
        if not _VARIABLE.fullmatch(name):
            raise errors.UsageError(detail=f"{name[:80]!r} is not a name for an environment variable")
        if "\0" in value:
            raise errors.UsageError(detail=f"the value of {name} contains a NUL character")
    if sum(len(name) + len(value) for name, value in env.items()) > ENVIRONMENT_LIMIT:
        raise errors.UsageError(detail=f"the environment is larger than {ENVIRONMENT_LIMIT >> 10} KiB")
    return env


def time_limit(seconds: float) -> float:
    """The time itself. Raises `errors.UsageError`."""
    if not 0 < seconds <= LONGEST:  # also what is no number
        raise errors.UsageError(detail="a time limit is above 0 and at most ten years")
    return seconds


def vcpu(count: int) -> int:
    """The number itself. Raises `errors.UsageError`."""
    if not 1 <= count <= VCPU_LIMIT:
        raise errors.UsageError(detail=f"a machine has 1 to {VCPU_LIMIT} virtual processors, not {count}")
    return count


def memory(size: int) -> int:
    """Whole MiB, as monitors count them. Raises `errors.UsageError`."""
    if size < MEMORY_LEAST:
        least = format_size(MEMORY_LEAST)
        raise errors.UsageError(detail=f"{format_size(size)} of memory is too little: give at least {least}")
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > host:
        raise errors.UsageError(detail=f"{format_size(size)} of memory is more than the host has: {format_size(host)}")
    return -(-size >> 20) << 20


def disk(size: int) -> int:
    """Whole blocks of 4 KiB; 0 stands for what the settings and the image say. Raises `errors.UsageError`."""
    if size == 0:
        return 0
    if not DISK_LEAST <= size <= DISK_LIMIT:
        bounds = f"{format_size(DISK_LEAST)} to {format_size(DISK_LIMIT)}"
        raise errors.UsageError(detail=f"a disk has {bounds}, not {format_size(size)}")
    return -(-size // 4096) * 4096


def disk_size(asked: int, default: int, image: int) -> int:
    """The size of a machine's disk over an image of ``image`` bytes. Raises `errors.ImageTooSmall`."""
    if asked and asked < image:
        raise errors.ImageTooSmall(size=f"a disk of {format_size(asked)}", needed=format_size(image))
    return asked or max(default, image)
