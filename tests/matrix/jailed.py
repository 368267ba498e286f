"""The system installation of a whole host as a world: daemon and helper are services, machines are in jails.

Runs on that host as root. The daemon's unit starts `tests.matrix.mortal`, which gets its aim through a file and halts
at the instant. That nothing is left on the host afterwards is for the smoke scenarios to see.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from banger import errors, proc
from banger.api.image import ImportImage
from banger.api.vm import ExecVm
from banger.disk import work_disk
from banger.paths import Paths
from banger.privileged.operations import layout
from banger.system import record
from banger.system.units import DAEMON_SERVICE, HELPER_SERVICE
from banger.vms.record import VmRecord
from tests import guest_images
from tests.installation import MIB
from tests.matrix import judge
from tests.matrix.judge import Failed, names, same
from tests.matrix.mortal import FREE, Aim
from tests.matrix.scenarios import without_image, without_kernel
from tests.matrix.witness import IMAGE, MACHINE, Witness

RUN = "/run/banger-matrix"
AIM, HALT = f"{RUN}/aim", f"{RUN}/halt"
MONITOR = "firecracker"
TIMEOUT = 90.0


class Jailed(Witness):
    """Use `world`, which leaves the host as it was."""

    patience = TIMEOUT

    def __init__(self, directory: Path) -> None:
        installed = record.read()
        assert installed is not None, "banger is not installed on this host"
        config = os.path.expanduser(f"~{installed.owner}/.config/banger")
        found = Paths.from_environment()
        super().__init__(
            directory, Paths(config, found.state, found.cache, found.runtime, owner=found.owner), "firecracker"
        )
        self.private = installed.private

    # -- services -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Wait for the daemon, which systemd starts."""

        def answers() -> bool:
            try:
                self.client.daemon_status()
            except errors.DaemonUnreachable:
                self.client.close()
                return False
            return True

        self.until(answers, "the daemon does not come up")

    def aim(self, aim: Aim) -> None:
        """Have the daemon halt where an aim says."""
        Path(AIM).write_bytes(msgspec.json.encode(aim._replace(halt=HALT)))
        os.kill(main_pid(DAEMON_SERVICE), signal.SIGUSR2)
        self.until(lambda: not os.path.exists(AIM), "the daemon does not take its aim")

    def halted(self) -> bool:
        """Whether the daemon is at an instant of its aim."""
        return os.path.exists(HALT)

    def strike(self, victim: str) -> None:
        """Kill somebody while the daemon halts: `daemon`, `helper` or `monitor`. Who is left goes on to the end."""
        Path(HALT + FREE).touch()
        services = {"daemon": DAEMON_SERVICE, "helper": HELPER_SERVICE}
        struck = [main_pid(services[victim])] if victim in services else monitors()
        for pid in struck:
            print(f"matrix: struck {pid}", file=sys.stderr, flush=True)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if victim == "daemon":
            self.until(lambda: not os.path.exists(f"/proc/{struck[0]}"), "the daemon does not die")
        with contextlib.suppress(FileNotFoundError):  # it goes with the daemon
            os.unlink(HALT)

    def until(self, condition: Callable[[], bool], fault: str) -> None:
        """Wait for something. Raises `Failed` with ``fault``."""
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            if time.monotonic() > deadline:
                raise Failed(f"{fault}: {self.said()}")
            time.sleep(0.05)

    def said(self, size: int = 2000) -> str:
        argv = ["journalctl", "--no-pager", "--lines=60", "--output=short-monotonic", "--unit=bangerd*"]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False).stdout[-size:]

    def _write(self) -> None:
        """A file that the guest has synced: whatever happens to the host afterwards, it is there."""
        self.put_kept()
        with self.client.vm_exec(MACHINE, ExecVm(argv=["sync"])) as command:
            command.wait()
        if command.exit_code != 0:
            raise Failed(f"sync in the guest ended with {command.exit_code}")

    # -- the judge ----------------------------------------------------------------------------------------------------

    def rest(self) -> list[str]:
        running = {each.id: each for each in self.machines() if each.state == "running"}
        gone = [
            f"{each.name} is running, and its process is gone" for each in running.values()
            if each.handle is None or not proc.alive(proc.Identity(each.handle.pid, each.handle.start_ticks))
        ]  # fmt: skip
        devices = [each.split()[0] for each in _lines("dmsetup", "ls") if "\t" in each]
        wanted = [f"fc-{disk}-{each}" for each in running for disk in ("rootfs", "work")]
        return [
            *judge.records(self),
            *gone,
            *same("monitors", sorted(map(str, monitors())),
                  [str(each.handle.pid) for each in running.values() if each.handle is not None]),
            *same("devices", devices, wanted),
            *same("jails", names(f"{self.private}/jails/firecracker"), list(running)),
        ]  # fmt: skip

    def disk(self, machine: VmRecord) -> list[str]:
        """The device that a start would make, made here of a copy of what was written; and a copy of the work disk."""
        base = f"{self.paths.image(machine.image_id)}/rootfs.ext4"
        form = layout(os.path.getsize(base), machine.disk_size)
        with contextlib.ExitStack() as held:
            place = held.enter_context(tempfile.TemporaryDirectory(dir=self.directory))
            judge.tool("cp", "--sparse=always", f"{self.paths.vm(machine.id)}/overlay", f"{place}/overlay")
            below = held.enter_context(_loop("--read-only", base))
            store = held.enter_context(_loop(f"--sizelimit={form.store}", f"{place}/overlay"))
            table = f"0 {form.base // 512} snapshot {below} {store} PO 8\n"
            if form.tail:
                tail = held.enter_context(_loop(f"--offset={form.tail_at}", f"{place}/overlay"))
                table += f"{form.base // 512} {form.tail // 512} linear {tail} 0\n"
            judge.tool("dmsetup", "create", "matrix", "--table", table.rstrip())
            held.callback(judge.tool, "dmsetup", "remove", "--retry", "matrix")
            judge.tool("cp", "--sparse=always", f"{self.paths.vm(machine.id)}/{work_disk.NAME}", f"{place}/work")
            return [
                *judge.file_system("/dev/mapper/matrix", machine.id in self.written),
                *(f"work disk: {each}" for each in judge.file_system(f"{place}/work", machine.id in self.written)),
            ]


def clear(made: Jailed) -> None:
    """Delete what scenarios make, and what their pulls keep for the next one."""
    made.machine("absent")
    without_image(made)
    without_kernel(made)
    made.done(made.client.image_cache_prune())


def main_pid(unit: str) -> int:
    """The main process of a unit."""
    return int(_lines("systemctl", "show", "--property=MainPID", "--value", unit)[0])


def monitors() -> list[int]:
    """Every monitor of the host."""
    found = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/exe").endswith(f"/{MONITOR}"):
                found.append(pid)
    return found


def _lines(*argv: str) -> list[str]:
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()


@contextmanager
def _loop(*arguments: str) -> Iterator[str]:
    """A loop device."""
    (device,) = _lines("losetup", "--show", "--find", *arguments)
    try:
        yield device
    finally:
        _lines("losetup", "--detach", device)


def bring(made: Jailed, prepare: Callable[[Witness], None]) -> None:
    """Put a scenario's supplies where the daemon can read them."""
    (made.directory / "tiny.tar").write_bytes(guest_images.busybox_tar())
    config = made.paths.config
    prepare(made)
    made.directory.chmod(0o755)
    for place in (str(made.directory), config if os.path.isdir(config) else str(made.directory)):
        judge.tool("chown", "-R", str(made.paths.owner), place)


def forget(made: Jailed) -> None:
    """Remove them, and what let the daemon go on."""
    made.client.close()
    Path(HALT + FREE).unlink(missing_ok=True)
    shutil.rmtree(made.directory, ignore_errors=True)
    shutil.rmtree(made.paths.catalogs, ignore_errors=True)


def main() -> None:
    """Make the host ready: the image, and all that is made once, with the first machine."""
    with tempfile.TemporaryDirectory(prefix="bm-", dir="/var/tmp") as directory:
        made = Jailed(Path(directory))
        bring(made, lambda made: None)
        made.start()
        made.done(made.client.image_import(ImportImage(path=f"{directory}/tiny.tar", name=IMAGE, size=64 * MIB)))
        made.machine("running")
        made.machine("absent")
        forget(made)


if __name__ == "__main__":
    main()
