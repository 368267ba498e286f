"""A host's installation for tests of jails: real jailer, real control groups, directories of its own. Root's.

A machine's limits need controllers that systemd's hosts have in the unified hierarchy and other machines may not; a
scene asks for those that there are but io, which stays with its parent. That they all are set is seen in the box
(tests/smoke/test_jail.py), that the kernel has what was set in tests/integration/helper/test_cgroup.py.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.helper import cgroup, protocol
from banger.helper.connection import Connect
from banger.helper.host import Host
from banger.helper.launch import Launch, Sweep
from banger.helper.operation import Outcome
from banger.helper.store import StoreFile
from tests.kept import build_cache
from tests.released import released

OWNER = 65533
"""A user without an account; what banger's owner would be."""

ACTOR = Path(__file__).parent / "jail_actor.py"

FIRST = "00000000000000a1"
SECOND = "00000000000000a2"


class Scene:
    """An installation, and what its owner does."""

    def __init__(self, host: Host) -> None:
        self.host = host
        Path(host.state).mkdir(mode=0o700)
        os.chown(host.state, OWNER, OWNER)
        Path(host.private).mkdir(mode=0o700)
        self.console = Path(host.state) / "console"
        self.kernel = self.store(b"kernel" * 1000)
        self.initrd = self.file(b"initrd" * 1000, "initrd")

    def file(self, content: bytes, name: str = "file") -> str:
        """A file of the owner's; its path."""
        path = Path(self.host.state) / name
        path.write_bytes(content)
        os.chown(path, OWNER, OWNER)
        return str(path)

    def store(self, content: bytes) -> str:
        """Put something into the store; its sha256."""
        sha256 = hashlib.sha256(content).hexdigest()
        StoreFile(path=self.file(content), sha256=sha256).execute(self.host)
        return sha256

    def request(self, vm_id: str = FIRST, slot: int = 1) -> Launch:
        """A plain machine."""
        return Launch(vm_id=vm_id, slot=slot, kernel=self.kernel, vcpus=1, memory=128)

    def launch(self, launch: Launch | None = None) -> Outcome:
        """Start one, with a console of the owner's. Nobody listens for its guest any more."""
        with self.opened() as given:
            outcome = (launch or self.request()).execute(self.host, given)
        protocol.close_all(outcome.descriptors)
        return Outcome(outcome.values)

    @contextlib.contextmanager
    def opened(self) -> Iterator[tuple[int, int]]:
        """What a launch is given: the console, and the initial RAM disk."""
        console = os.open(self.console, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.fchown(console, OWNER, OWNER)
        initrd = os.open(self.initrd, os.O_RDONLY)
        try:
            yield console, initrd
        finally:
            os.close(console)
            os.close(initrd)

    def connect(self, vm_id: str = FIRST, socket: str = "api") -> int:
        """A connection; the caller closes it."""
        (descriptor,) = Connect(vm_id=vm_id, socket=socket).execute(self.host).descriptors
        return descriptor

    def jail(self, vm_id: str = FIRST) -> Path:
        """What the monitor sees as its root."""
        return Path(self.host.jails) / "firecracker" / vm_id / "root"

    def leaf(self, vm_id: str = FIRST) -> Path:
        return Path(cgroup.leaf(self.host, vm_id))

    def left(self) -> list[str]:
        """What there is of jails and control groups."""
        groups, jails = Path(self.host.cgroup), Path(self.host.jails) / "firecracker"
        found = [str(path.relative_to(jails)) for path in sorted(jails.rglob("*"))] if jails.exists() else []
        return found + ([each.name for each in groups.iterdir() if each.is_dir()] if groups.exists() else [])


def hierarchy() -> Path:
    """Where the unified hierarchy of control groups is mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        if line.split(" ")[2] == "cgroup2":
            return Path(line.split(" ")[1])
    raise AssertionError("control groups of version 2 are not mounted")


@contextlib.contextmanager
def make_scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A scene of its own, on the build cache's file system; nothing of it is left."""
    available = (hierarchy() / "cgroup.subtree_control").read_text().split()
    wanted = cgroup.limits
    monkeypatch.setattr(cgroup, "CONTROLLERS", tuple(each for each in cgroup.CONTROLLERS if each in available))
    monkeypatch.setattr(
        cgroup,
        "limits",
        lambda *values: {name: value for name, value in wanted(*values).items() if name.partition(".")[0] in available},
    )
    directory = Path(tempfile.mkdtemp(prefix="jails-", dir=build_cache()))
    parent = hierarchy() / f"banger-test-{directory.name}"
    parent.mkdir()
    for each in cgroup.CONTROLLERS:
        (parent / "cgroup.subtree_control").write_text(f"+{each}")
    scene = Scene(
        Host(
            owner_uid=OWNER,
            owner_gid=OWNER,
            state=str(directory / "state"),
            private=str(directory / "private"),
            runtime=str(directory / "runtime"),
            cgroup=str(parent / "machines"),
            first_uid=1_000_000 + 16 * os.getpid(),  # of this test process's own: a user with a process is refused
            uid_count=16,
            firecracker=str(released() / "firecracker"),
            jailer=str(released() / "jailer"),
        )
    )
    try:
        yield scene
    finally:
        for vm_id in (FIRST, SECOND):
            Sweep(vm_id=vm_id).execute(scene.host)
        shutil.rmtree(directory)
        for group in (Path(scene.host.cgroup), parent):
            if group.exists():
                group.rmdir()


@contextlib.contextmanager
def actor(uid: int, root: Path | None = None, listen: str | None = None) -> Iterator[int]:
    """A process of that user's, in that root directory, that listens on a socket (`tests.jail_actor`); its pid."""
    argv = [sys.executable, str(ACTOR), str(uid), str(root or "-"), *([listen] if listen else [])]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={}) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            yield process.pid
        finally:
            process.stdin.close()
            process.wait(30)
