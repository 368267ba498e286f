"""An installation whose daemons are real processes, one after another, and the judge of what each of them has left.

A daemon is a fork of this process, which has its modules loaded already; from there on it is `banger.daemon.main.run`,
with its socket and its lock. `World.faults` compares what is on record with what there is: processes, directories,
sockets, temporary files, rows. Nothing of it is asked of the daemon.
"""

import ctypes
import io
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
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
from banger import errors, proc
from banger.api.image import ImportImage
from banger.api.operation import Operation
from banger.api.vm import CreateVm
from banger.daemon import private
from banger.daemon.main import run
from banger.daemon.wiring import wire
from banger.images.record import RECORD, ROOTFS, ImageRecord
from banger.kernels.kernel import RECORD as KERNEL_RECORD
from banger.paths import Paths
from banger.sdk.client import Client
from banger.store.database import Database
from banger.store.operations import Operations
from banger.store.records import Records
from banger.vms.record import VmRecord
from tests import guest_images, leaks, stock
from tests.installation import MIB, agent, fake_kernel
from tests.matrix import mortal
from tests.matrix.mortal import Aim

IMAGE, MACHINE, KERNEL = "tiny", "one", "debian-cloud"
KEPT = b"what the guest wrote is here\n"
MEMORY = 192 * MIB
PATIENCE = 20.0
"""How long what is about to end may take to be gone."""

MNT_DETACH = 2

REFUSED = 3
"""Exit status of a daemon that ended with an error that has a type."""

TOOLS = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin", "LANG": "C.UTF-8"}


class Failed(AssertionError):
    """The matrix cannot go on from here: the world is in no state to begin the next combination from."""


class World:
    """``driver`` is ``fake`` or ``qemu``. Use `world`, which ends everything."""

    def __init__(self, directory: Path, runtime: Path, driver: str) -> None:
        self.driver = driver
        self.directory = directory
        self.paths = Paths(
            str(directory / "config"), str(directory / "state"), str(directory / "cache"), str(runtime / "r")
        )
        self.temporary = directory / "tmp"
        self.log = directory / "daemon.log"
        self.temporary.mkdir(parents=True)
        self.allowed: set[int] = set()
        """Processes of the scenario's own."""
        self.written: set[str] = set()
        """Machines whose disk holds the file `KEPT`."""
        self.pid = 0
        self.client = Client(self.paths.socket, start=False, timeout=240)
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

    def start(self, aim: Aim | None = None) -> None:
        """Fork a daemon, an unmodified one unless it has an aim, and wait for its socket."""
        assert self.pid == 0
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

    def said(self, size: int = 2000) -> str:
        """The end of what the daemons have logged."""
        return self.log.read_bytes()[-size:].decode(errors="replace") if self.log.exists() else ""

    # -- verbs --------------------------------------------------------------------------------------------------------

    def done(self, operation: Operation) -> Operation:
        """Wait for the end of a change; raises its error."""
        return self.client.result(self.client.wait(operation))

    def quiet(self) -> None:
        """Wait until nothing is under way."""
        deadline = time.monotonic() + 6 * PATIENCE
        while any(not each.ended for each in self.client.operation_list().operations):
            if time.monotonic() > deadline:
                raise Failed(f"a change does not end: {self.said()}")
            time.sleep(0.02)

    def create(self, name: str = MACHINE, image: str = IMAGE) -> Operation:
        return self.client.vm_create(CreateVm(name=name, image=image, memory=MEMORY))

    def machine(self, state: str) -> None:
        """See to it that the machine is in that state (``absent``, ``running``, ``stopped``), with what it keeps."""
        found = {each.name: each.state for each in self.client.vm_list().vms}.get(MACHINE, "absent")
        if state == "absent":
            if found != "absent":
                self.done(self.client.vm_delete(MACHINE))
            return
        if found == "absent":
            self.done(self.create())
            self._write()
            found = "running"
        if found != "running" and state == "running":
            self.done(self.client.vm_start(MACHINE))
        elif found == "running" and state == "stopped":
            self.done(self.client.vm_stop(MACHINE, 20))

    def _write(self) -> None:
        """A file that has reached the disk: the machine is powered off in order, and started again."""
        if self.driver == "fake":
            return  # its guest's files would be this host's
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            entry = tarfile.TarInfo("kept")
            entry.size = len(KEPT)
            tar.addfile(entry, io.BytesIO(KEPT))
        self.client.vm_put(MACHINE, "/", out.getvalue())
        self.done(self.client.vm_stop(MACHINE, 20))
        self.written.add(self.client.vm_show(MACHINE).id)
        self.done(self.client.vm_start(MACHINE))

    # -- what there is ------------------------------------------------------------------------------------------------

    @contextmanager
    def store(self) -> Iterator[Database]:
        """The database, read beside the daemon."""
        database = Database(self.paths.database, read_only=True)
        try:
            yield database
        finally:
            database.close()

    def machines(self) -> list[VmRecord]:
        with self.store() as database:
            return Records(database, "vms", VmRecord).list()

    def facts(self) -> frozenset[str]:
        """What an owner would see."""
        with self.store() as database:
            images = Records(database, "images", ImageRecord).list()
        kernels = os.listdir(self.paths.kernels) if os.path.isdir(self.paths.kernels) else []
        return frozenset(
            [f"vm {each.name} {each.state}" for each in self.machines()]
            + [f"image {each.name}" for each in images]
            + [f"kernel {each}" for each in kernels]
        )

    def ids(self) -> frozenset[str]:
        """Which machines and images these are."""
        with self.store() as database:
            images = Records(database, "images", ImageRecord).list()
        return frozenset([each.id for each in self.machines()] + [each.id for each in images])

    def last(self, kind: str) -> Operation | None:
        """The latest change of a kind on record, and the names of its tasks."""
        found = [each for each in self.client.operation_list().operations if each.kind == kind]
        return max(found, key=lambda each: each.started, default=None)

    def tasks(self, operation: str) -> list[str]:
        with self.store() as database:
            return [each.name for each in Operations(database).tasks(operation)]

    # -- the judge ----------------------------------------------------------------------------------------------------

    def faults(self) -> list[str]:
        """What is wrong once nothing is under way: what ends by itself gets `PATIENCE` to be gone."""
        deadline = time.monotonic() + PATIENCE
        while (found := self._faults()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    def _faults(self) -> list[str]:
        with self.store() as database:
            unended = [f"{each.operation.kind} has not ended" for each in Operations(database).unended()]
            images = Records(database, "images", ImageRecord).list()
        machines = self.machines()
        running = [each for each in machines if each.state == "running"]
        return [
            *unended,
            *self._processes(machines),
            *_same("machine directories", _names(self.paths.vms), [each.id for each in machines]),
            *_same("runtime directories", _names(f"{self.paths.runtime}/vms"), [each.id for each in running]),
            *_same("image directories", _names(self.paths.images), [each.id for each in images]),
            *_same("staging", _names(self.paths.staging), []),
            *_same("temporary files", _names(str(self.temporary)), []),
            *_same("of the runtime directory", _names(self.paths.runtime), self._runtime_names()),
            *_same("of the cache of downloads", _names(self.paths.oci_cache, "lock", "oci-layout", "index.json"), [],
                   ["blobs"]),
            *(f"image {each.name} is not whole" for each in images if not self._whole(each)),
            *(f"kernel {each} is not whole" for each in _names(self.paths.kernels)
              if not os.path.exists(f"{self.paths.kernels}/{each}/{KERNEL_RECORD}")),
        ]  # fmt: skip

    def _runtime_names(self) -> list[str]:
        there = ["vms"] if os.path.isdir(f"{self.paths.runtime}/vms") else []
        return [*there, "bangerd.lock", *(["bangerd.sock"] if self.pid else [])]

    def _whole(self, image: ImageRecord) -> bool:
        needed = [RECORD] if image.path else [RECORD, ROOTFS]
        return all(os.path.exists(os.path.join(self.paths.image(image.id), name)) for name in needed)

    def _processes(self, machines: list[VmRecord]) -> list[str]:
        """Below this process: the daemon, and the monitors of machines that run, each with what it started itself."""
        found = []
        expected = {self.pid, *self.allowed}
        for each in machines:
            if (each.handle is not None) != (each.state == "running"):
                found.append(f"{each.name} is {each.state}, its handle {each.handle}")
            if each.handle is not None:
                expected.add(each.handle.pid)
                if not proc.alive(proc.Identity(each.handle.pid, each.handle.start_ticks)):
                    found.append(f"{each.name} is {each.state}, and its process is gone")
        for child in leaks.children(os.getpid()):
            process = leaks.process_of(child)
            if child not in expected and process is not None:
                found.append(f"process {child}: {process.command}")
        return found

    def disks(self) -> list[str]:
        """What is wrong with the disks of machines that are stopped."""
        found = []
        for each in self.machines():
            if each.state != "running" and each.root:
                found += [f"{each.name}: {fault}" for fault in self._disk(each)]
        return found

    def _disk(self, machine: VmRecord) -> list[str]:
        source = os.path.join(self.paths.vm(machine.id), "disk.qcow2")
        with tempfile.TemporaryDirectory(dir=self.directory) as place:
            raw = os.path.join(place, "disk")
            _tool("qemu-img", "check", "-q", source)
            _tool("qemu-img", "convert", "-O", "raw", source, raw)
            replayed = _tool("e2fsck", "-fp", raw, accept=(0, 1))  # the journal, as the next start does it
            whole = _tool("e2fsck", "-fn", raw, accept=(0, 4, 8, 12))
            kept = _tool("debugfs", "-R", "cat /kept", raw)
        faults = [] if whole.returncode == 0 else [f"e2fsck: {replayed.stdout}{whole.stdout}"]
        if machine.id in self.written and kept.stdout != KEPT.decode():
            faults.append(f"the file is {kept.stdout!r}")
        return faults


def _tool(*argv: str, accept: tuple[int, ...] = (0,)) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(argv, env=TOOLS, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode not in accept:
        raise Failed(f"{argv[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(path) == 0


def _names(directory: str, *left_out: str) -> list[str]:
    return sorted(set(os.listdir(directory)) - set(left_out)) if os.path.isdir(directory) else []


def _same(what: str, found: list[str], *allowed: list[str]) -> list[str]:
    if any(sorted(found) == sorted(each) for each in allowed):
        return []
    return [f"{what}: {', '.join(found) or 'none'} instead of {', '.join(sorted(allowed[0])) or 'none'}"]


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
