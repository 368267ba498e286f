"""What this host's QEMU can do, found out by booting a tiny guest and kept until the host or QEMU changes.

Tried in order: each accelerator (KVM when /dev/kvm can be opened, then the emulator) on each machine type (microvm,
then q35). The first pair on which the guest of `stub` runs to its end is what machines get. A try is killed after
`TRY_SECONDS`; a guest that runs at all needs a tenth of one.

On disk: ``qemu.json`` in the cache's probe directory, a `Probe` with the key of what it was measured on.
"""

import asyncio
import contextlib
import os
import platform
import tempfile

import msgspec

from banger import errors, proc
from banger.log import printable
from banger.vmm import kept, stub
from banger.vmm.qemu import clock

BINARY = "qemu-system-x86_64"
KVM = "/dev/kvm"
TRY_SECONDS = 3.0
MACHINES = ("microvm", "q35")

BASE_OPTIONS = ("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot")


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """The measured answer. ``machine`` is empty when nothing runs."""

    key: str
    accelerator: str
    """``kvm`` or ``tcg``."""
    machine: str
    clock_khz: int | None
    """The time-stamp counter's rate, for the emulator."""
    version: str
    reason: str


async def probe(cache: str) -> Probe:
    """The cached answer, or a measured one. Raises `errors.ToolMissing`."""
    key = _key(proc.find(BINARY))
    path = os.path.join(cache, "qemu.json")
    known = kept.load(path, Probe)
    if known is not None and known.key == key:
        return known
    measured = await _measure(key)
    if measured.machine:  # a failure may be the moment's (memory, load): it is not kept
        kept.save(path, measured)
    return measured


def _key(binary: str) -> str:
    """All that the answer depends on; the boot, because a clock rate and /dev/kvm hold for one."""
    status = os.stat(os.path.realpath(binary))
    facts = (
        binary, status.st_size, status.st_mtime_ns, platform.release(), kept.boot_id(),
        _processor(), os.access(KVM, os.R_OK | os.W_OK),
    )  # fmt: skip
    return " ".join(str(each) for each in facts)


def _processor() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


async def _measure(key: str) -> Probe:
    version = await proc.run([BINARY, "--version"], timeout=10)
    unknown = Probe(
        key=key,
        accelerator="tcg",
        machine="",
        clock_khz=await asyncio.to_thread(clock.measure_khz),
        version=printable(version.stdout.partition(b"\n")[0]).removeprefix("QEMU emulator version "),
        reason="",
    )
    kvm = _kvm_refusal()
    if kvm is None:
        machine, refusal = await _first_that_runs("kvm")
        if machine:
            reason = f"{KVM} runs guests"
            return msgspec.structs.replace(unknown, accelerator="kvm", machine=machine, reason=reason)
        kvm = f"{KVM} opens, but a guest does not run on it ({refusal})"
    machine, refusal = await _first_that_runs("tcg")
    reason = f"{kvm}; " + ("using the emulator" if machine else f"the emulator fails too ({refusal})")
    return msgspec.structs.replace(unknown, machine=machine, reason=reason)


async def _first_that_runs(accelerator: str) -> tuple[str, str]:
    """The first machine type on which the tiny guest runs, or none and the first refusal."""
    first = ""
    for machine in MACHINES:
        refusal = await _try(machine, accelerator)
        if refusal is None:
            return machine, ""
        first = first or refusal
    return "", first


def _kvm_refusal() -> str | None:
    if not os.path.exists(KVM):
        return f"there is no {KVM}"
    try:
        os.close(os.open(KVM, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"{KVM} cannot be opened ({error.strerror})"
    return None


def cpu_model(accelerator: str) -> str:
    """The processor that guests see: the host's own, or all that the emulator knows and does well.

    Without the flags for fast byte copies, kernels move eight bytes with each step that the emulator takes.
    """
    return "host" if accelerator == "kvm" else "max,-erms,-fsrm"


async def _try(machine: str, accelerator: str) -> str | None:
    """Boot the tiny guest; None when it ran to its end, else why it did not."""
    with tempfile.TemporaryDirectory(prefix="banger-probe-") as directory:
        kernel = os.path.join(directory, "stub.elf")
        with open(kernel, "wb") as file:
            file.write(stub.elf())
        argv = [
            BINARY, *BASE_OPTIONS, "-M", machine, "-accel", accelerator, "-cpu", cpu_model(accelerator), "-m", "32",
            "-kernel", kernel, "-device", f"isa-debug-exit,iobase={stub.EXIT_PORT:#x},iosize=1",
        ]  # fmt: skip
        try:
            result = await proc.run(argv, timeout=TRY_SECONDS, check=False)
        except errors.TimedOut:
            return f"{machine}: the guest hangs"
    if result.status == stub.EXIT_STATUS:
        return None
    said = result.stderr.decode("utf-8", "replace").strip().splitlines()
    return f"{machine}: {printable(said[-1], 160) if said else f'status {result.status}'}"
