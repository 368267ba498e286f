"""A machine's monitor, put into its jail and started; and all of that swept away.

The jailer is given an argument list made here and nothing of a caller's but the id. It changes its root directory, its
user and its program, and keeps its pid, so the process that we start is the monitor. What we keep from it: control
groups (ours are set before it runs), its own sweep (it has none), a pid namespace (the pid would be another one) and
``--daemonize`` (the console would be lost; a session of its own is enough).

The monitor outlives the helper. Seccomp filters are the monitor's own defaults, which no argument of ours turns off.
"""

import fcntl
import os
import re
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from . import cgroup, connection, grammar, jail, mapper, monitor, process, program, store, versions
from .host import Host
from .machine import OfMachine
from .operation import Failed, Operation, Outcome, Refused

DESCRIPTOR_LIMIT = 2048
"""RLIMIT_NOFILE: a connection over the machine's socket takes one; the jailer's own default is the same today."""

_FILE = re.compile(r"[a-z][a-z0-9-]{0,31}")
_RESERVED = {"vmlinux", "initrd", "root", "work", "dev", "run", "sys", "firecracker"}
_FILES = 8
_VCPUS = 32
_MEMORY = (32, 1 << 20)
_INITRD = 256 << 20
_START_SECONDS = 45.0
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.005, 0.1
"""Seconds between two looks at a monitor that begins; where many do, looking takes the time from all of them."""
_TAIL = 4096
_PATH_ONLY = 0o10000000  # O_PATH, which fcntl reports


@dataclass(frozen=True)
class StoredFile:
    """A stored file that a machine gets as a read-only drive."""

    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Launch(Operation):
    """Make the machine's jail and control group, and start its monitor there; the caller gets the socket that listens
    for the guest, and a connection to the monitor's API.

    A jail that exists is refused: revert first. To revert is to kill whatever lives in the jail, and needs only the id.
    """

    NAME: ClassVar[str] = "machine.launch"
    GATE: ClassVar[str] = (
        "A machine that has a jail; a slot that another jail or any process uses; a kernel or drive that is not in the "
        "store; an initial RAM disk of more than 256 MiB; any block device but the machine's own; a tap that is not "
        "the slot's; a monitor or jailer that somebody other than root can replace, or that are not of one release."
    )
    DESCRIPTORS: ClassVar[tuple[str, ...]] = (
        "the console: a regular file of the owner's, open for appending",
        "the initial RAM disk: a regular file of the owner's, open for reading, which is copied",
    )

    vm_id: str
    slot: int
    kernel: str
    files: tuple[StoredFile, ...] = ()
    device: bool = False
    work: bool = False
    tap: str | None = None
    vcpus: int
    memory: int
    cpu_weight: int = 100
    io_bytes: int = 0
    io_operations: int = 0

    def validate(self, host: Host) -> None:
        grammar.vm_id(self.vm_id)
        grammar.slot(self.slot, host)
        grammar.sha256(self.kernel)
        if self.tap is not None:
            grammar.tap(self.tap)
        names = [each.name for each in self.files]
        if len(names) > _FILES or len(set(names)) != len(names):
            raise Refused(f"at most {_FILES} files, each with a name of its own")
        for each in self.files:
            grammar.sha256(each.sha256)
            if not _FILE.fullmatch(each.name) or each.name in _RESERVED:
                raise Refused(f"{each.name[:80]!r} is not a name for a file in a jail")
        for what, value, low, high in (
            ("processors", self.vcpus, 1, _VCPUS),
            ("MiB of memory", self.memory, *_MEMORY),
            ("is the processors' weight", self.cpu_weight, 1, 10_000),
            ("bytes a second", self.io_bytes, 0, 1 << 40),
            ("operations a second", self.io_operations, 0, 1 << 30),
        ):
            if not low <= value <= high:
                raise Refused(f"{value} {what}: {low} to {high} are possible")

    def turn(self) -> str:
        return f"machine {self.vm_id}"

    def describe(self) -> str:
        return f"launch machine {self.vm_id} in slot {self.slot}: {self.vcpus} processors, {self.memory} MiB"

    def execute(self, host: Host, descriptors: Sequence[int] = ()) -> Outcome:
        self.validate(host)
        console, initrd = _given(host, descriptors)
        uid = host.uid(self.slot)
        versions.refuse_mixed(host)
        if self.tap is not None:
            _refuse_tap(self.tap, uid)
        if cgroup.pids(host, self.vm_id):
            raise Refused(f"the control group of {self.vm_id} has processes, which must be swept first")
        root = jail.make(host, self.vm_id, uid)
        try:
            if monitor.of_user(uid):
                raise Refused(f"the slot is taken: uid {uid} has a process")
            devices = self._fill(host, root, uid, initrd)
            with connection.listen(root, uid) as doorbell:
                values, api = self._start(host, root, uid, devices, console)
                return Outcome(values, (doorbell.detach(), api))
        except BaseException as error:
            _swept(host, self.vm_id, error)
            if isinstance(error, OSError):
                raise Failed(f"the jail of {self.vm_id}: {error.strerror}") from None
            raise
        finally:
            os.close(root)

    def undo(self, host: Host) -> None:
        sweep(host, self.vm_id)

    def _fill(self, host: Host, root: int, uid: int, initrd: int) -> list[str]:
        """Put the machine's files and its disks into the jail; each disk's ``major:minor``."""
        store.link(host, self.kernel, root, "vmlinux")
        store.take(initrd, root, "initrd")
        for each in self.files:
            store.link(host, each.sha256, root, each.name)
        wanted = [("root", False)] * self.device + [("work", True)] * self.work
        return [self._node(root, uid, name, mapper.find(self.vm_id, work=work)) for name, work in wanted]

    def _node(self, root: int, uid: int, name: str, device: mapper.Device | None) -> str:
        if device is None:
            raise Failed(f"{self.vm_id} has no disk attached for its {name}")
        os.mknod(name, stat.S_IFBLK | 0o600, device.rdev, dir_fd=root)
        os.chown(name, uid, uid, dir_fd=root, follow_symlinks=False)
        return device.number

    def _start(
        self, host: Host, root: int, uid: int, devices: Sequence[str], console: int
    ) -> tuple[dict[str, object], int]:
        """The monitor, settled in; a connection to its API."""
        wanted = cgroup.limits(self.memory, self.vcpus, self.cpu_weight)
        wanted |= cgroup.io_limits(devices, self.io_bytes, self.io_operations)
        group = cgroup.make(host, self.vm_id, wanted)
        begin = os.fstat(console).st_size
        try:
            started = program.start(host.jailer, self._argv(host, uid), cgroup=group, output=console)
        finally:
            os.close(group)
        api = _await(lambda: _api(host, self.vm_id, root, started.pid), started.poll, console, begin)
        try:
            jail.settle(root, uid)
            ticks = process.start_ticks(started.pid)
            if ticks is None:
                raise Failed(f"the monitor has ended: {_last_words(console, begin)}")
        except BaseException:
            os.close(api)
            raise
        return {"pid": started.pid, "start_ticks": ticks, "uid": uid}, api

    def _argv(self, host: Host, uid: int) -> list[str]:
        # The largest file that a monitor writes is a snapshot of the guest's memory; the console, which the owner's
        # daemon keeps short, counts too: no guest fills the disk through it.
        size = (self.memory + 64) << 20
        return [
            "jailer",
            *("--id", self.vm_id, "--exec-file", _monitor(host)),
            *("--uid", str(uid), "--gid", str(uid)),
            *("--chroot-base-dir", host.jails),
            # Named, though we are in it already: else the jailer moves into any group that bears the monitor's name.
            *("--cgroup-version", "2", "--parent-cgroup", cgroup.relative(host, self.vm_id)),
            *("--resource-limit", f"fsize={size}", "--resource-limit", f"no-file={DESCRIPTOR_LIMIT}"),
            *("--", "--api-sock", f"/{jail.RUN}/{jail.SOCKETS['api']}"),
        ]


@dataclass(frozen=True, kw_only=True)
class Sweep(OfMachine):
    """End a machine's monitor and remove its jail and its control group, however little of them is left."""

    NAME: ClassVar[str] = "machine.sweep"
    GATE: ClassVar[str] = "Whatever is not the jail and the control group of the named machine."

    def describe(self) -> str:
        return f"sweep the jail of machine {self.vm_id}"

    def execute(self, host: Host, descriptors: Sequence[int] = ()) -> Outcome:
        sweep(host, self.vm_id)
        return Outcome()

    def undo(self, host: Host) -> None:
        """There is nothing to take back."""


def sweep(host: Host, vm_id: str) -> None:
    """Kill all that lives in a machine's control group and jail, then remove both. Idempotent. Raises `Failed`.

    The jail stays while anything lives in it: as long as there are files of a user, it is nobody else's.
    """
    grammar.vm_id(vm_id)
    cgroup.kill(host, vm_id)
    with jail.at(host, vm_id) as root:
        if root is not None:
            monitor.end_inhabitants(root)
    failures = []
    for act in (jail.remove, cgroup.remove):
        try:
            act(host, vm_id)
        except Failed as failed:
            failures.append(failed)
    if failures:
        raise Failed("; ".join(map(str, failures)), busy=all(each.busy for each in failures))


def _swept(host: Host, vm_id: str, error: BaseException) -> None:
    try:
        sweep(host, vm_id)
    except Failed as failed:
        error.add_note(str(failed))


def _given(host: Host, descriptors: Sequence[int]) -> tuple[int, int]:
    """Console and initial RAM disk. Raises `Refused` for what is not that."""
    if len(descriptors) != len(Launch.DESCRIPTORS):
        raise Refused("two descriptors are expected, the console and the initial RAM disk")
    console, initrd = descriptors
    flags = fcntl.fcntl(console, fcntl.F_GETFL)
    if flags & _PATH_ONLY or flags & os.O_ACCMODE == os.O_RDONLY or not flags & os.O_APPEND:
        raise Refused("the console is not open for appending")
    _owners(host, console, "console")
    flags = fcntl.fcntl(initrd, fcntl.F_GETFL)
    if flags & _PATH_ONLY or flags & os.O_ACCMODE == os.O_WRONLY:
        raise Refused("the initial RAM disk is not open for reading")
    size = _owners(host, initrd, "initial RAM disk").st_size
    if size > _INITRD:
        raise Refused(f"an initial RAM disk of {size} bytes is too large")
    return console, initrd


def _owners(host: Host, descriptor: int, what: str) -> os.stat_result:
    """The stat of a regular file of the owner's. Raises `Refused` for anything else."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != host.owner_uid:
        raise Refused(f"the {what} is not a regular file of the owner's")
    return found


def _monitor(host: Host) -> str:
    """The monitor's path, without a link in it, checked all the way. The jailer copies it, by this name."""
    path = os.path.realpath(host.firecracker)
    os.close(program.open_executable(path))
    if os.path.basename(path) != jail.NAME:
        raise Failed(f"{path}: the monitor's file has to be named {jail.NAME}, since the jailer names jails after it")
    return path


def _refuse_tap(tap: str, uid: int) -> None:
    try:
        with open(f"/sys/class/net/{tap}/owner", encoding="ascii") as file:
            found = int(file.read())
    except OSError:
        raise Failed(f"there is no tap {tap}") from None
    if found != uid:
        raise Refused(f"the tap {tap} is for uid {found}, not {uid}")


def _api(host: Host, vm_id: str, root: int, pid: int) -> int | None:
    """A connection to the monitor's API; None when it does not listen yet."""
    try:
        found = os.stat(f"{jail.RUN}/{jail.SOCKETS['api']}", dir_fd=root, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISSOCK(found.st_mode) or not monitor.runs(host, vm_id, root, pid):
        return None
    try:
        return connection.to_monitor(host, vm_id, "api")
    except Failed as failed:
        if failed.busy:  # it has its name, and does not listen
            return None
        raise


def _await(attempt: Callable[[], int | None], ended: Callable[[], int | None], console: int, begin: int) -> int:
    deadline = time.monotonic() + _START_SECONDS
    pause = _SHORTEST_PAUSE
    while (found := attempt()) is None:
        if ended() is not None:
            raise Failed(f"the monitor has ended: {_last_words(console, begin)}")
        if time.monotonic() > deadline:
            raise Failed(
                f"the monitor has not begun after {_START_SECONDS:g} s: {_last_words(console, begin)}", busy=True
            )
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
    return found


def _last_words(console: int, begin: int) -> str:
    """What the jailer or the monitor said, from where the console was when it was started."""
    readable = os.open(f"/proc/self/fd/{console}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(readable).st_size
        said = os.pread(readable, _TAIL, max(begin, size - _TAIL))
    finally:
        os.close(readable)
    lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    return " / ".join(lines[-3:])[:400] or "it said nothing"
