"""The emulator's process: a computer with AMD's virtualisation, one processor by default, no network but a link.

One processor, because more make the emulated virtualisation err now and then, and leave this host's others free. The
disks: ``root``, a copy-on-write file over the cached image; ``modules`` and ``kit``, read-only. Everything a session
writes lies in its own directory, whose name is short for the sake of the sockets in it.

A machine is saved into its own root.qcow2 with its memory, and a copy of that file is resumed: by the same QEMU, with
the same options, on a processor whose time-stamp counter runs at the same rate.

The root of a machine whose power is to be cut is `logged`: every write and every flush, in order (see `power`).

In the directory: root.qcow2, console.log, qemu.log, qmp.sock, pulse.sock, agent.sock; root.log where writes are logged.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from banger.kernels import kernel
from banger.vmm.cmdline import COMMON
from banger.vmm.qemu import qmp
from banger.vmm.qemu.clock import measure_khz
from banger.vmm.qemu.command import AGENT_PORT, CMDLINE_EMULATED
from tests.smoke.host.pulse import Pulse

LOG = "root.log"
QEMU = "qemu-system-x86_64"
PREPARED = "prepared"
"""The saved state that the cache holds inside root.qcow2; a session adds its own."""

ADDRESS, GATEWAY = "10.0.2.15/24", "10.0.2.2"
BOOT_SECONDS, RESUME_SECONDS = 900, 120
"""Limits for a machine that is shared with others; alone, both take a tenth."""

CALL_SECONDS = 120.0


class Parts(NamedTuple):
    """What a machine is made of: the root image, the kernel's directory and the kit's disk."""

    root: Path
    kernel: Path
    kit: Path


class Size(NamedTuple):
    """Of the box."""

    processors: int = 1
    memory_mib: int = 3584


def version() -> str:
    """The emulator's, in its own words."""
    done = subprocess.run([QEMU, "--version"], capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.splitlines()[0]


def new_disk(directory: Path, parts: Parts) -> None:
    """An empty overlay over the root image."""
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(parts.root / "root.ext4"), "-F", "raw"]
    subprocess.run([*argv, str(directory / "root.qcow2")], timeout=60, check=True)


def saved_disk(directory: Path, saved: Path) -> None:
    """A copy of a saved machine's disk and memory."""
    target = str(directory / "root.qcow2")
    subprocess.run(["cp", "--reflink=auto", "--sparse=always", str(saved), target], timeout=120, check=True)


class Machine:
    """A running box in ``directory``, which holds its root.qcow2; use `end` when done. It dies with this process.

    It boots, or is what was saved under the name ``resume``.
    """

    def __init__(self, directory: Path, parts: Parts, size: Size, resume: str = "", logged: bool = False) -> None:
        self.directory = directory
        self.agent_socket = str(directory / "agent.sock")
        self._pulse: Pulse | None = None
        with open(directory / "qemu.log", "ab") as log:
            self.process = subprocess.Popen(
                [
                    "setpriv",
                    "--pdeathsig",
                    "KILL",
                    "--",
                    "nice",
                    QEMU,
                    *options(directory, parts, size, logged),
                    *(("-loadvm", resume) if resume else ()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def listening(self) -> None:
        """Wait until the agent's socket is there."""
        deadline = time.monotonic() + 30
        while not os.path.exists(self.agent_socket):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the emulator did not start: {tail(self.directory / 'qemu.log')}")
            time.sleep(0.02)
        self._pulse = Pulse(str(self.directory / "pulse.sock"))

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def monitor(self, line: str) -> None:
        """A command of the human monitor; savevm has no other. Raises RuntimeError with what it answers."""

        async def call() -> str:
            async with qmp.Client(str(self.directory / "qmp.sock"), timeout=CALL_SECONDS) as control:
                return str(await control.execute("human-monitor-command", **{"command-line": line}))

        if answer := asyncio.run(call()):
            raise RuntimeError(f"{line}: {answer.strip()}")

    def save(self, state: str) -> None:
        """Put the memory beside the disk, in root.qcow2."""
        self.monitor(f"savevm {state}")

    def go_back(self, state: str) -> None:
        """Be what was saved, disk and memory. Who is attached to the agent must attach anew."""
        self.monitor(f"loadvm {state}")

    def forget(self, state: str) -> None:
        """Remove what was saved."""
        self.monitor(f"delvm {state}")

    def end(self) -> None:
        """Kill it, by its pid and nothing else."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)
        if self._pulse is not None:
            self._pulse.join()
        for each in self.directory.glob("*.sock"):
            each.unlink()


def options(directory: Path, parts: Parts, size: Size, logged: bool = False) -> list[str]:
    """QEMU's command line."""
    record = kernel.load(str(parts.kernel))
    # a busy host makes the kernel's own measurement wrong by a factor, and its clock with it
    words = [
        *COMMON, "reboot=t", *CMDLINE_EMULATED, f"tsc_early_khz={measure_khz()}", "nowatchdog", "banger.root=root",
        "banger.modules=modules", "banger.init=/sbin/init", "banger.hostname=box", f"banger.net={ADDRESS},{GATEWAY}",
        "systemd.mask=serial-getty@ttyS0.service", "systemd.default_timeout_start_sec=600",
    ]  # fmt: skip
    drives = [
        *(_logged(directory) if logged else _drive("root", directory / "root.qcow2", "qcow2")),
        *_drive("modules", parts.kernel / kernel.MODULES, "raw", read_only=True),
        *_drive("kit", parts.kit / "kit.ext4", "raw", read_only=True),
    ]
    assert kernel.MODULES in record.files
    return [
        "-M", "q35", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "EPYC,+svm,+npt",
        "-smp", str(size.processors), "-m", f"{size.memory_mib}M",
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-kernel", str(parts.kernel / kernel.VMLINUX), "-initrd", str(parts.kernel / kernel.INITRD),
        "-append", " ".join(words),
        "-chardev", f"file,id=console,path={directory / 'console.log'}", "-serial", "chardev:console",
        "-chardev", f"socket,id=agent,path={directory / 'agent.sock'},server=on,wait=off",
        "-device", "virtio-serial-pci,id=serial,max_ports=2",
        "-device", f"virtserialport,bus=serial.0,chardev=agent,name={AGENT_PORT}",
        *drives,
        "-netdev", "user,id=net,restrict=on,ipv6=off", "-device", "virtio-net-pci,netdev=net",
        "-device", "virtio-rng-pci",
        *(word for name in ("qmp", "pulse") for word in ("-qmp", f"unix:{directory / name}.sock,server=on,wait=off")),
    ]  # fmt: skip


def _drive(serial: str, path: Path, format: str, read_only: bool = False) -> list[str]:
    mode = "readonly=on" if read_only else "discard=unmap"
    return [
        "-drive", f"if=none,id={serial},file={path},format={format},cache=unsafe,{mode}",
        "-device", f"virtio-blk-pci,drive={serial},serial={serial}",
    ]  # fmt: skip


def _logged(directory: Path) -> list[str]:
    """The root with a cache that a flush empties: what was flushed is told apart from what was not by the log.

    The files themselves need no flush of this host's, whose memory outlives the emulator. No discards and no writes of
    zeros: the log would be wrong where they meet others.
    """
    flushes_nothing = "cache.no-flush=on"
    nodes = [
        f"driver=file,node-name=image-file,filename={directory / 'root.qcow2'},{flushes_nothing}",
        f"driver=qcow2,node-name=image,file=image-file,{flushes_nothing}",
        f"driver=file,node-name=log,filename={directory / LOG},{flushes_nothing}",
        "driver=blklogwrites,node-name=root,file=image,log=log,log-super-update-interval=1000000000",
    ]
    device = "virtio-blk-pci,drive=root,serial=root,write-cache=on,discard=off,write-zeroes=off"
    return [word for node in nodes for word in ("-blockdev", node)] + ["-device", device]


def tail(path: Path, size: int = 6000) -> str:
    """The end of a log."""
    return path.read_bytes()[-size:].decode(errors="backslashreplace") if path.is_file() else ""


def remove(directory: Path) -> None:
    """All of an ended machine."""
    shutil.rmtree(directory, ignore_errors=True)
