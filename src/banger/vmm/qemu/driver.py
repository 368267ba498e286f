"""The QEMU driver: one process a machine, unprivileged, confined by its own system call filter.

Order of a launch: open the sockets, the console and the guard's library; start QEMU with the guest's processors
stopped; wait for its control socket, which answers once everything is set up; look whether the guard is in place;
let the guest run. Whatever fails on the way takes the process and the names with it.

On disk, in the machine's directory: ``console.log`` and ``qemu.log`` (this run's); in its runtime directory:
``qmp.sock`` and ``agent.sock``. With ``LaunchSpec.uid`` QEMU owns none of these: it needs to search the directories
of the kernel, initrd and drives, to read the files, and to own the writable ones.

Sizes: the daemon cuts the console by `trim_console`. While no daemon is there, no file of QEMU's grows past the
largest writable drive and `_SLACK` (RLIMIT_FSIZE; a write beyond it fails, QEMU goes on): disks are not hurt, and a
flooding guest fills no more of the host than its own disk could.
"""

import asyncio
import contextlib
import errno
import grp
import os
import re
import resource
import socket
import struct

import msgspec

from banger import errors, proc
from banger.log import printable
from banger.vmm import console, process, sockets
from banger.vmm.driver import Availability, Drive, Exit, Features, Handle, LaunchSpec, UserNetwork
from banger.vmm.qemu import command, guard, qmp
from banger.vmm.qemu.probe import BINARY, Probe, probe

_READY_SECONDS = 30
_REINSTALL = "sudo apt-get install --reinstall qemu-system-x86"
_SLACK = 256 << 20
_MEMORY_MINIMUM = 32 << 20


class QemuDriver:
    """Keeps `banger.vmm.driver.Driver`. ``cache`` is the directory for the probe's answer."""

    name = "qemu"

    def __init__(self, cache: str) -> None:
        self._cache = cache

    async def availability(self) -> Availability:
        """What the probe found; a missing QEMU is a reason, not an error."""
        try:
            host = await probe(self._cache)
        except errors.ToolMissing as missing:
            mend = missing.advice.removeprefix("install it: ")
            return Availability(usable=False, reason=missing.message, features=_features(None), mend=mend)
        return Availability(
            usable=bool(host.machine),
            reason=f"QEMU {host.version}: {host.reason}",
            features=_features(host),
            mend="" if host.machine else _REINSTALL,
        )

    async def launch(self, spec: LaunchSpec) -> Handle:
        host = await probe(self._cache)
        if not host.machine:
            raise errors.VmmFailed(reason=host.reason, name=spec.vm_id)
        _check(spec)
        handle = Handle(
            driver=self.name,
            pid=0,
            start_ticks=0,
            agent_socket=os.path.join(spec.runtime, "agent.sock"),
            console=os.path.join(spec.directory, "console.log"),
            control_socket=os.path.join(spec.runtime, "qmp.sock"),
            machine=f"{host.machine} ({host.accelerator})",
            log=os.path.join(spec.directory, "qemu.log"),
        )
        try:
            return await self._start(spec, host, handle)
        except BaseException:
            sockets.remove(handle.control_socket)
            sockets.remove(handle.agent_socket)
            raise

    async def _start(self, spec: LaunchSpec, host: Probe, handle: Handle) -> Handle:
        guarded = isinstance(spec.network, UserNetwork) and not spec.network.host_loopback
        library = guard.path(spec.vm_id) if guarded else None
        with contextlib.ExitStack() as stack:
            identity = _spawn(spec, host, handle, library, stack)
        handle = msgspec.structs.replace(handle, pid=identity.pid, start_ticks=identity.start_ticks)
        try:
            async with qmp.Client(handle.control_socket, timeout=_READY_SECONDS) as control:
                if library is not None and not guard.loaded(identity.pid, library):
                    raise qmp.QmpError("the network guard could not be loaded into it")
                await control.execute("cont")
        except qmp.QmpError as error:
            await self.kill(handle)
            raise _failure(spec, handle, str(error)) from None
        except BaseException:
            await asyncio.shield(self.kill(handle))
            raise
        return handle

    def alive(self, handle: Handle) -> bool:
        return proc.alive(process.identity(handle))

    async def kill(self, handle: Handle) -> None:
        await process.end(handle)

    async def wait(self, handle: Handle, timeout: float | None = None) -> Exit | None:
        if not await proc.wait_gone(process.identity(handle), timeout):
            return None
        return _classify(handle)

    async def connect_agent(self, handle: Handle) -> socket.socket:
        return await sockets.connect(handle.agent_socket)

    async def pause(self, handle: Handle) -> None:
        await self._control(handle, "stop")

    async def resume(self, handle: Handle) -> None:
        await self._control(handle, "cont")

    async def _control(self, handle: Handle, word: str) -> None:
        try:
            async with qmp.Client(handle.control_socket) as control:
                await control.execute(word)
        except qmp.QmpError as error:
            raise errors.VmmFailed(reason=printable(str(error)), name=process.machine_name(handle)) from None

    async def stalled(self, handle: Handle) -> str | None:
        try:
            async with qmp.Client(handle.control_socket) as control:
                status = await control.execute("query-status")
        except qmp.QmpError:
            return None
        if not isinstance(status, dict) or status.get("status") != "io-error":
            return None
        return "the host could not write to the machine's disk; the disk that holds it is probably full"

    def trim_console(self, handle: Handle, limit: int) -> None:
        console.trim(handle.console, limit)
        console.trim(handle.log, limit)


def _features(host: Probe | None) -> Features:
    accelerated = host is not None and host.accelerator == "kvm"
    return Features(accelerated=accelerated, user_networking=True, vsock=False, snapshot=False, jail=False)


def _check(spec: LaunchSpec) -> None:
    """What QEMU would say late or badly."""
    needed = [spec.kernel, spec.initrd]
    for drive in spec.drives:
        needed += [drive.path, *([drive.backing] if drive.backing is not None else [])]
    for path in needed:
        if not os.path.isfile(path):
            raise errors.VmmFailed(reason=f"there is no file {path}", name=spec.vm_id)
    if spec.memory < _MEMORY_MINIMUM:
        raise errors.VmmFailed(reason=f"{spec.memory} bytes of memory are too little for a kernel", name=spec.vm_id)


def _spawn(
    spec: LaunchSpec, host: Probe, handle: Handle, library: str | None, stack: contextlib.ExitStack
) -> proc.Identity:
    """Open what QEMU inherits and start it; ours are closed again by ``stack``."""
    try:
        control = stack.enter_context(sockets.listen(handle.control_socket))
        agent = stack.enter_context(sockets.listen(handle.agent_socket))
        output = console.create(handle.console)
        stack.callback(os.close, output)
        console.start_log(handle.log)
        keep = [control.fileno(), agent.fileno(), output]
        env: dict[str, str] = {}
        if library is not None:
            keep.append(os.open(library, os.O_RDONLY | os.O_CLOEXEC))
            stack.callback(os.close, keep[-1])
            env = guard.environment(keep[-1])
        return proc.spawn(
            command.argv(spec, host, command.Descriptors(*keep[:3])),
            log=handle.log,
            env=env,
            uid=spec.uid,
            gid=spec.uid,
            groups=_kvm_group() if host.accelerator == "kvm" else (),
            limits={**process.file_size_limit(_largest(spec.drives) + _SLACK), resource.RLIMIT_CORE: 0},
            keep=keep,
        )
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise errors.DiskFull(path=spec.directory) from None
        raise errors.VmmFailed(reason=f"{error.filename or 'it'}: {error.strerror}", name=spec.vm_id) from None


def _kvm_group() -> tuple[int, ...]:
    try:
        return (grp.getgrnam("kvm").gr_gid,)
    except KeyError:
        return ()


def _largest(drives: tuple[Drive, ...]) -> int:
    """Bytes of the largest writable drive as the guest sees it."""
    return max((_virtual_size(drive) for drive in drives if not drive.read_only), default=0)


def _virtual_size(drive: Drive) -> int:
    if drive.format != "qcow2":
        return os.path.getsize(drive.path)
    with open(drive.path, "rb") as file:
        header = file.read(32)
    if len(header) < 32 or header[:4] != b"QFI\xfb":
        return 0  # QEMU will say what is wrong with it
    size: int = struct.unpack_from(">Q", header, 24)[0]
    return min(size, 1 << 60)


def _failure(spec: LaunchSpec, handle: Handle, reason: str) -> errors.BangerError:
    """What QEMU said, and ours only when it said nothing."""
    said = _said(console.tail(handle.log).splitlines())
    if "No space left on device" in said:
        return errors.DiskFull(path=spec.directory)
    return errors.VmmFailed(reason=said or printable(reason), name=spec.vm_id)


_GUEST_SHUTDOWN = 6
"""ShutdownCause in QEMU's qapi/run-state.json, as the trace event prints it."""

_CAUSE = re.compile(command.CAUSE_EVENT.encode() + rb" reason=(\d+)")
_STATES = (command.STATE_EVENT.encode(), command.CAUSE_EVENT.encode())


def _classify(handle: Handle) -> Exit:
    """Why the process ended. An orderly end is in its log, where the guest cannot write; a sudden one is not."""
    lines = console.tail(handle.log).splitlines()
    causes = [int(found.group(1)) for found in map(_CAUSE.search, lines) if found]
    detail = _said(lines)
    if causes:
        return Exit(reason="powered off") if causes[-1] == _GUEST_SHUTDOWN else Exit(reason="killed", detail=detail)
    if any(line.endswith(b"(shutdown)") for line in lines):  # without a cause: the guest asked for a restart
        panic = console.panic(handle.console)
        return Exit(reason="panic", detail=panic) if panic is not None else Exit(reason="powered off", detail="restart")
    return Exit(reason="failed", detail=detail) if detail else Exit(reason="killed")


def _said(lines: list[bytes]) -> str:
    """The last line that QEMU wrote for people, safe to print."""
    said = [line for line in lines if line.strip() and not line.startswith(_STATES)]
    return printable(said[-1]).removeprefix(f"{BINARY}: ") if said else ""
