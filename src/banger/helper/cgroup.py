"""Control groups (version 2): one leaf for each machine, below the cgroup that systemd has delegated.

On disk: ``vm-<id>/`` below `Host.cgroup`. We make the leaf, set its limits, and the monitor's first process enters it
before it runs anything. A leaf has no children, belongs to root, and names its machine; what is in it ends with it.

The jailer could make one, but it enables controllers from the root down, which is systemd's, and sweeps nothing.
"""

import contextlib
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence

from . import grammar
from .host import Host
from .operation import Failed

CONTROLLERS = ("cpu", "memory", "pids")
"""What a machine cannot go without; ``io`` is added where limits on it are asked for."""

PERIOD = 100_000
OVERHEAD = 128
"""MiB for the monitor itself, its sockets' buffers and the page cache of its disks, beside the guest's memory."""
PIDS = 32
"""Threads of the monitor beside its processors: its loop, its API, the kernel's workers on its behalf."""

_PREFIX = "vm-"
_OPTIONAL = ("memory.swap.max",)
_END_SECONDS = 20.0


def leaf(host: Host, vm_id: str) -> str:
    """The path of a machine's leaf."""
    return os.path.join(host.cgroup, _PREFIX + grammar.vm_id(vm_id))


def limits(memory: int, vcpus: int, weight: int) -> dict[str, str]:
    """The limits of a machine with ``memory`` MiB and ``vcpus`` processors, by file.

    The page tables of a guest's memory are counted as well, hence the share of it. No swap: a guest's memory has no
    business on the host's disk, and a machine that is swapped out makes every other one wait. The quota is one
    processor above what the guest has, for the monitor's own work: it never binds an honest machine.
    """
    return {
        "memory.max": str((memory + memory // 32 + OVERHEAD) << 20),
        "memory.swap.max": "0",
        "cpu.max": f"{(vcpus + 1) * PERIOD} {PERIOD}",
        "cpu.weight": str(weight),
        "pids.max": str(vcpus + PIDS),
    }


def io_limits(devices: Sequence[str], octets: int, operations: int) -> dict[str, str]:
    """The limit on each block device (``major:minor``), each way and each second; 0 is none. A line for each."""
    wanted = f" rbps={octets} wbps={octets}" if octets else ""
    wanted += f" riops={operations} wiops={operations}" if operations else ""
    return {"io.max": "\n".join(device + wanted for device in devices)} if wanted and devices else {}


def make(host: Host, vm_id: str, wanted: Mapping[str, str]) -> int:
    """Make the leaf, or take the empty one that is there, and set its limits; the kernel takes a line at a time.

    Gives its ``cgroup.procs``, open; the caller closes it. Raises `Failed`.
    """
    controllers = dict.fromkeys((*CONTROLLERS, *(name.partition(".")[0] for name in wanted)))
    with contextlib.suppress(FileExistsError):
        _mkdir(host.cgroup)  # systemd may remove a delegated cgroup while nothing is in it
    _enable(host, [each for each in controllers if each != "cgroup"])
    path = leaf(host, vm_id)
    with contextlib.suppress(FileExistsError):
        _mkdir(path)
    for name, value in wanted.items():
        try:
            for line in value.splitlines():
                _write(os.path.join(path, name), line)
        except OSError as error:
            if name not in _OPTIONAL or not isinstance(error, FileNotFoundError):
                raise Failed(f"{name} cannot be set to {value!r}: {error.strerror}") from None
    return os.open(os.path.join(path, "cgroup.procs"), os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)


def pids(host: Host, vm_id: str) -> list[int]:
    """The processes in the leaf; none when there is no leaf."""
    try:
        return [int(each) for each in _read(os.path.join(leaf(host, vm_id), "cgroup.procs")).split()]
    except OSError:
        return []


def exists(host: Host, vm_id: str) -> bool:
    return os.path.isdir(leaf(host, vm_id))


def kill(host: Host, vm_id: str) -> None:
    """SIGKILL to all that is in the leaf, at once, and wait for its end. Raises `Failed`."""
    path = leaf(host, vm_id)
    try:
        _write(os.path.join(path, "cgroup.kill"), "1")
        deadline = time.monotonic() + _END_SECONDS
        while "populated 1" in _read(os.path.join(path, "cgroup.events")):
            if time.monotonic() > deadline:
                raise Failed(f"what is in {path} does not end", busy=True)
            time.sleep(0.005)
    except FileNotFoundError:
        if exists(host, vm_id):
            raise Failed(f"{path} has no cgroup.kill: Linux 5.14 or later is needed") from None
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}") from None


def remove(host: Host, vm_id: str) -> None:
    """Remove the leaf, which is empty. Raises `Failed`."""
    try:
        os.rmdir(leaf(host, vm_id))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise Failed(f"{leaf(host, vm_id)}: {error.strerror}", busy=True) from None


def shown(host: Host, vm_id: str) -> dict[str, str]:
    """The limits as the kernel has them, and what is in use."""
    found = {}
    for name in (*limits(0, 0, 0), "io.max", "memory.current", "memory.events", "pids.current"):
        with contextlib.suppress(OSError):
            found[name] = _read(os.path.join(leaf(host, vm_id), name)).strip()
    return found


def machines(host: Host) -> Iterator[str]:
    """The ids of the machines that have a leaf."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(host.cgroup):
            if re.fullmatch(_PREFIX + "[0-9a-f]{16}", name):
                yield name.removeprefix(_PREFIX)


def relative(host: Host, vm_id: str) -> str:
    """The leaf's path below the hierarchy's mount point, which is how the jailer is told of it. Raises `Failed`."""
    for line in _read("/proc/self/mounts").splitlines():
        fields = line.split(" ")
        if fields[2] == "cgroup2":
            if host.cgroup.startswith(fields[1] + "/"):
                return os.path.relpath(leaf(host, vm_id), fields[1])
            break  # the jailer, too, takes the first
    raise Failed(f"{host.cgroup} is not in a hierarchy of control groups of version 2")


def _enable(host: Host, controllers: list[str]) -> None:
    """Let leaves have ``controllers``."""
    control = os.path.join(host.cgroup, "cgroup.subtree_control")
    try:
        enabled = _read(control).split()
    except OSError as error:
        raise Failed(f"{host.cgroup}: {error.strerror}") from None
    for each in controllers:
        if each not in enabled:
            try:
                _write(control, f"+{each}")
            except FileNotFoundError:
                raise Failed(f"the controller {each} is not delegated to {host.cgroup}") from None
            except OSError as error:  # EBUSY: there are processes in it, so it can have no controlled leaves
                raise Failed(f"the controller {each} cannot be enabled in {host.cgroup}: {error.strerror}") from None


def _mkdir(path: str) -> None:
    try:
        os.mkdir(path)
        os.chmod(path, 0o755)  # noqa: S103 - whatever our umask is: what a machine uses is no secret
    except FileExistsError:
        raise
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}") from None


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()


def _write(path: str, value: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode("ascii"))
    finally:
        os.close(descriptor)
