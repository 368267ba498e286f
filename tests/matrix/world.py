"""An installation whose daemons are real processes, one after another, and the judge of what each of them has left.

A daemon is a fork of this process, which has its modules loaded already; from there on it is `banger.daemon.main.run`,
with its socket and its lock. `World.faults` compares what is on record with what there is: processes, directories,
sockets, temporary files, rows. Nothing of it is asked of the daemon.
"""

import ctypes
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import banger.builds.service
import banger.daemon.app
import banger.daemon.server
import banger.vmm.fake.driver
import banger.vmm.qemu.driver  # noqa: F401 - loaded here, so that a daemon that is forked has it
from banger import errors
from banger.api.image import ImportImage
from banger.daemon import private
from banger.daemon.main import run
from banger.daemon.wiring import wire
from banger.paths import Paths
from banger.vms.record import VmRecord
from tests import guest_images, leaks, stock
from tests.installation import MIB, agent, fake_kernel
from tests.matrix import judge, mortal
from tests.matrix.judge import Failed
from tests.matrix.mortal import Aim
from tests.matrix.witness import IMAGE, PATIENCE, Witness

KERNEL = "debian-cloud"
MNT_DETACH, PR_SET_PDEATHSIG = 2, 1

REFUSED = 3
"""Exit status of a daemon that ended with an error that has a type."""


class World(Witness):
    """``driver`` is ``fake`` or ``qemu``. Use `world`, which ends everything."""

    def __init__(self, directory: Path, runtime: Path, driver: str) -> None:
        roots = (directory / "config", directory / "state", directory / "cache", runtime / "r")
        super().__init__(directory, Paths(*map(str, roots)), driver)
        self.temporary = directory / "tmp"
        self.log = directory / "daemon.log"
        self.temporary.mkdir(parents=True)
        self.allowed = set(leaks.children(os.getpid()))
        """Processes that are not the daemon's: what other tests' fixtures have running, and the scenario's own."""
        self.pid = 0
        os.environ |= {
            "BANGER_CONFIG_DIR": self.paths.config,
            "BANGER_STATE_DIR": self.paths.state,
            "BANGER_CACHE_DIR": self.paths.cache,
            "BANGER_RUNTIME_DIR": self.paths.runtime,
            "BANGER_DRIVER": driver,
            "BANGER_FAKE_AGENT": f"{shlex.quote(agent())} serve-fd 0",
            "TMPDIR": str(self.temporary),
        }
        tempfile.tempdir = str(self.temporary)

    # -- daemons ------------------------------------------------------------------------------------------------------

    def start(self, aim: Aim | None = None, victim: str = "daemon") -> None:
        """Fork a daemon, an unmodified one unless it has an aim, and wait for its socket."""
        assert self.pid == 0
        if aim is not None and victim == "monitor":
            aim = aim._replace(monitors=f"-initrd\0{self.paths.vms}/")
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._be_daemon(aim)
        self._await_socket()

    def _await_socket(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not _answers(self.paths.socket):  # the one of a daemon that died lies there too
            if self.refused() or time.monotonic() > deadline:
                raise Failed(f"the daemon does not come up: {self.said()}")
            time.sleep(0.005)

    def start_program(self, argv: list[str]) -> "subprocess.Popen[bytes]":
        """A daemon that is started as a program; its caller ends it by `Client.daemon_stop`."""
        with open(self.log, "ab") as log:
            program = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.pid = program.pid
        self._await_socket()
        return program

    def _be_daemon(self, aim: Aim | None) -> None:
        status = 1
        try:
            os.setsid()
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a scene that is stopped leaves no daemon
            log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            for number in (1, 2):
                os.dup2(log, number)
            if aim is not None:
                mortal.install(aim)
            run(Paths.from_environment(), wire)
            status = 0
        except errors.BangerError:
            traceback.print_exc()
            status = REFUSED
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def end(self, number: int = signal.SIGTERM) -> int:
        """End the daemon; how it ended."""
        pid, self.pid = self.pid, 0
        self.client.close()
        os.kill(pid, number)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def died(self, patience: float = PATIENCE) -> bool:
        """Wait until the daemon ends by itself, within ``patience``; whether SIGKILL was its end."""
        deadline = time.monotonic() + patience
        while not (found := os.waitpid(self.pid, os.WNOHANG))[0]:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        self.pid = 0
        self.client.close()
        return os.waitstatus_to_exitcode(found[1]) == -signal.SIGKILL

    def refused(self) -> bool:
        """Whether the daemon has ended by itself, with an error that has a type."""
        ended, status = os.waitpid(self.pid, os.WNOHANG) if self.pid else (0, 0)
        if ended:
            self.pid = 0
            self.client.close()
            if os.waitstatus_to_exitcode(status) != REFUSED:
                raise Failed(f"the daemon ended by itself: {self.said()}")
        return not self.pid

    def rest(self) -> list[str]:
        return judge.rest(self)

    def disk(self, machine: VmRecord) -> list[str]:
        return judge.disk(self, machine)

    def said(self, size: int = 2000) -> str:
        """The end of what the daemons have logged."""
        return self.log.read_bytes()[-size:].decode(errors="replace") if self.log.exists() else ""


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(path) == 0


@contextmanager
def world(driver: str, prepare: Callable[[World], None], room: int = 0) -> Iterator[World]:
    """A world with a kernel and an image, whose daemon is not running yet; everything in it is ended and removed.

    With ``room``, its state lies on a disk of that size, for which we must be able to mount one.
    """
    leaks.adopt_orphans()
    kept = dict(os.environ)
    directory, runtime = Path(tempfile.mkdtemp(prefix="bm-", dir="/var/tmp")), Path(tempfile.mkdtemp(prefix="bm-"))
    before = leaks.resources()
    made = World(directory, runtime, driver)
    if room:
        _mount(made.paths.state, room)
        private._check_above = lambda path: None  # in a user namespace, / and /tmp are nobody's
    try:
        _stock(made)
        prepare(made)
        yield made
    finally:
        made.client.close()
        leaks.end_new_processes(before)
        os.environ.clear()
        os.environ |= kept
        tempfile.tempdir = None
        if room:
            ctypes.CDLL(None).umount2(made.paths.state.encode(), MNT_DETACH)
        shutil.rmtree(directory, ignore_errors=True)
        shutil.rmtree(runtime, ignore_errors=True)


def _mount(path: str, room: int) -> None:
    os.makedirs(path, mode=0o700)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", path.encode(), b"tmpfs", 0, f"size={room},mode=700".encode()) != 0:
        raise OSError(ctypes.get_errno(), "mount")


def _stock(made: World) -> None:
    kernel = Path(made.paths.kernel(KERNEL))
    if made.driver == "fake":
        fake_kernel(kernel, agent())
    else:
        kernel.parent.mkdir(mode=0o700, parents=True)
        shutil.copytree(stock.stock() / "kernels" / KERNEL, kernel, copy_function=stock._link)
    archive = made.directory / "tiny.tar"
    archive.write_bytes(guest_images.busybox_tar())
    made.start()
    made.done(made.client.image_import(ImportImage(path=str(archive), name=IMAGE, size=64 * MIB)))
    made.end()
