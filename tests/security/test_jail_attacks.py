"""Attacks on jails: by a monitor that was taken over, by whoever shares its user, and by a host in a bad state.

A monitor can write below ``run/`` alone and is the slot's user. What it plants there is planted here by root in its
name, and processes of its user are real ones (`tests.jail_actor`).
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.helper import jail, process
from banger.helper.containment import Contain
from banger.helper.inspection import Inspect
from banger.helper.launch import Sweep
from banger.helper.metrics import Metrics
from banger.helper.operation import Failed, Refused
from banger.helper.signalling import Signal
from tests.jails import FIRST, SECOND, Scene, actor, hierarchy, make_scene

pytestmark = pytest.mark.root


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with make_scene(monkeypatch) as made:
        yield made


@contextlib.contextmanager
def mounted(path: Path, options: str) -> Iterator[None]:
    """A file system of its own, in memory, at ``path``."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


def run_directory(scene: Scene) -> Path:
    return scene.jail() / "run"


def give(path: Path, uid: int) -> None:
    os.chown(path, uid, uid, follow_symlinks=False)


# -- where the jail goes ----------------------------------------------------------------------------------------------


@pytest.fixture
def victim(scene: Scene) -> Path:
    """A file of root's that somebody would like to have changed."""
    path = Path(scene.host.private) / "victim"
    path.write_bytes(b"untouched")
    return path


def test_the_jailer_follows_a_link_and_we_do_not_let_it(scene: Scene, victim: Path) -> None:
    """CVE-2026-1386: the jailer of this release copies the monitor through a link at its destination."""
    root = scene.jail()
    root.mkdir(parents=True)
    (root / "firecracker").symlink_to(victim)
    with pytest.raises(Refused, match="has a jail already"):
        scene.launch()
    assert victim.read_bytes() == b"untouched"
    arguments = ("--id", FIRST, "--exec-file", scene.host.firecracker, "--uid", "900999", "--gid", "900999")
    subprocess.run(
        [scene.host.jailer, *arguments, "--chroot-base-dir", scene.host.jails, "--cgroup-version", "2",
         "--parent-cgroup", "none", "--", "--version"],
        check=False, capture_output=True, timeout=30,
    )  # fmt: skip
    assert victim.read_bytes() != b"untouched", "the hole is real; a release without it makes this test unnecessary"


@pytest.mark.parametrize("place", ["jails", "jails/firecracker", f"jails/firecracker/{FIRST}"])
def test_a_link_on_the_way_to_the_jail(scene: Scene, victim: Path, place: str) -> None:
    directory = victim.parent / "elsewhere"
    directory.mkdir()
    (directory / "file").write_bytes(b"untouched")
    path = Path(scene.host.private) / place
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.symlink_to(directory)
    with pytest.raises((Failed, Refused)):
        scene.launch()
    with contextlib.suppress(Failed):
        Sweep(vm_id=FIRST).execute(scene.host)
    assert os.listdir(directory) == ["file"]
    assert (directory / "file").read_bytes() == b"untouched"
    path.unlink()  # root's to remove: it has no place there


def test_a_directory_of_jails_that_others_can_write(scene: Scene) -> None:
    Path(scene.host.jails).mkdir()
    Path(scene.host.jails).chmod(0o777)
    with pytest.raises(Failed, match="not root's alone"):
        scene.launch()
    Path(scene.host.jails).chmod(0o700)


def test_a_monitor_that_somebody_else_can_write(scene: Scene) -> None:
    directory = Path(scene.host.private) / "bin"
    directory.mkdir()
    program = directory / "firecracker"
    shutil.copy(scene.host.firecracker, program)
    object.__setattr__(scene.host, "firecracker", str(program))
    for path, uid, mode in ((program, 65534, 0o755), (program, 0, 0o757), (directory, 0, 0o777)):
        os.chown(path, uid, 0)
        path.chmod(mode)
        with pytest.raises(Failed, match="somebody other than root"):
            scene.launch()
        os.chown(path, 0, 0)
        path.chmod(0o755)
    scene.launch()


def test_no_device_nodes_no_jails(scene: Scene) -> None:
    private = Path(scene.host.private)
    for option in ("nodev", "noexec"):
        with mounted(private, f"mode=0700,{option}"):
            with pytest.raises(Failed, match=option):
                jail.refuse_nodev(str(private))
            with pytest.raises(Failed, match=option):
                scene.launch()
    jail.refuse_nodev(str(private))


def test_a_full_disk_leaves_nothing(scene: Scene) -> None:
    """Full while the store is filled, and full when the jailer copies the monitor."""
    with mounted(Path(scene.host.private), "mode=0700,size=1m,dev,exec"):
        with pytest.raises(Failed, match="no space"):
            scene.store(os.urandom(2 << 20))
        assert os.listdir(scene.host.store) == []
        scene.store(b"kernel" * 1000)
        with pytest.raises(Failed, match=r"(?i)no space left"):
            scene.launch()
        assert scene.left() == []


# -- what a monitor plants --------------------------------------------------------------------------------------------


def plant_link(path: Path, scene: Scene) -> None:
    path.symlink_to("../../../" + SECOND + "/root/run/api.sock")


def plant_absolute_link(path: Path, scene: Scene) -> None:
    path.symlink_to(scene.jail(SECOND) / "run" / "api.sock")


def plant_fifo(path: Path, scene: Scene) -> None:
    os.mkfifo(path)


def plant_file(path: Path, scene: Scene) -> None:
    path.write_bytes(b"")


def plant_directory(path: Path, scene: Scene) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    "plant", [plant_link, plant_absolute_link, plant_fifo, plant_file, plant_directory], ids=lambda each: each.__name__
)
def test_something_else_where_the_socket_should_be(scene: Scene, plant: object) -> None:
    scene.launch()
    scene.launch(scene.request(SECOND, slot=2))
    path = run_directory(scene) / "vsock.sock"
    assert callable(plant)
    plant(path, scene)
    give(path, scene.host.uid(1))
    with pytest.raises(Refused):
        scene.connect(socket="vsock")


def plant_anothers_pipe(path: Path, scene: Scene) -> None:
    os.link(run_directory(scene).parents[2] / SECOND / "root" / "run" / "metrics", path)


def plant_socket(path: Path, scene: Scene) -> None:
    with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(path.parent):
        made.bind(path.name)


@pytest.mark.parametrize(
    "plant",
    [plant_link, plant_anothers_pipe, plant_file, plant_directory, plant_socket],
    ids=lambda each: each.__name__,
)
def test_something_else_where_the_pipe_of_metrics_should_be(scene: Scene, plant: object) -> None:
    scene.launch()
    scene.launch(scene.request(SECOND, slot=2))
    path = run_directory(scene) / "metrics"
    path.unlink()
    assert callable(plant)
    plant(path, scene)
    if plant is not plant_anothers_pipe:
        give(path, scene.host.uid(1))
    with pytest.raises(Refused):
        Metrics(vm_id=FIRST).execute(scene.host)


def test_a_link_where_run_should_be(scene: Scene) -> None:
    scene.launch()
    scene.launch(scene.request(SECOND, slot=2))
    run_directory(scene).rename(run_directory(scene).parent / "aside")
    run_directory(scene).symlink_to(scene.jail(SECOND) / "run")
    for act in (scene.connect, lambda: Metrics(vm_id=FIRST).execute(scene.host)):
        with pytest.raises(Refused):
            act()


def test_a_socket_of_anybody_elses(scene: Scene) -> None:
    scene.launch()
    path = run_directory(scene) / "vsock.sock"
    with actor(0, listen=str(path)), pytest.raises(Refused, match="not a socket of uid"):
        scene.connect(socket="vsock")
    path.unlink()
    # One that root's process listens on, and that was given to the monitor's user.
    with actor(0, listen=str(path)):
        give(path, scene.host.uid(1))
        with pytest.raises(Refused, match="not the monitor"):
            scene.connect(socket="vsock")
    path.unlink()
    # One of the monitor's user, in the jail, by a process that is not in the machine's control group.
    with actor(scene.host.uid(1), scene.jail(), listen="/run/vsock.sock"), pytest.raises(Refused, match="not the mon"):
        scene.connect(socket="vsock")


def test_a_socket_that_nobody_accepts_on_holds_nobody(scene: Scene) -> None:
    outcome = scene.launch()
    pid = outcome.values["pid"]
    assert isinstance(pid, int)
    os.kill(pid, 19)  # stopped: what connects waits in its queue, which has an end
    with contextlib.ExitStack() as opened, pytest.raises(Failed, match="nobody answers") as failure:
        for _ in range(100_000):
            opened.enter_context(socket.socket(fileno=scene.connect()))
    assert failure.value.busy


def test_a_jail_full_of_rubbish_is_swept(scene: Scene) -> None:
    victim = Path(scene.host.private) / "victims"
    victim.mkdir()
    (victim / "file").write_bytes(b"untouched")
    scene.launch()
    run, uid = run_directory(scene), scene.host.uid(1)
    (run / "link").symlink_to(victim)
    os.link(scene.jail() / "vmlinux", run / "hard")
    os.mkfifo(run / "fifo")
    (run / "shut").mkdir(mode=0)
    for number in range(3000):
        (run / f"file-{number}").touch()
    Path(os.fsdecode(os.fsencode(run) + b"/\xff\n-rf")).touch()
    descriptor = os.open(run, os.O_RDONLY)
    for _ in range(3000):  # deeper than a path can be long, than descriptors and stacks reach
        os.mkdir("d" * 200, dir_fd=descriptor)
        os.chown("d" * 200, uid, uid, dir_fd=descriptor)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=descriptor)
        os.symlink(str(victim), "link", dir_fd=below)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    scene.request().undo(scene.host)
    assert scene.left() == []
    assert (victim / "file").read_bytes() == b"untouched"
    assert Path(scene.host.store, scene.kernel).exists()


def test_a_mount_in_a_jail_is_detached_and_spared(scene: Scene) -> None:
    scene.launch()
    outside = Path(scene.host.private) / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"untouched")
    inside = run_directory(scene) / "with space"
    inside.mkdir()
    subprocess.run(["mount", "--bind", str(outside), str(inside)], check=True)
    (inside / "deeper").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(inside / "deeper")], check=True)
    Sweep(vm_id=FIRST).execute(scene.host)
    assert scene.left() == []
    assert sorted(os.listdir(outside)) == ["deeper", "file"]
    assert FIRST not in Path("/proc/self/mountinfo").read_text()


# -- whose process it is ----------------------------------------------------------------------------------------------


def refuse_signal(scene: Scene, pid: int, ticks: int | None = None) -> None:
    begun = process.start_ticks(pid) if ticks is None else ticks
    assert begun is not None
    with pytest.raises(Refused):
        Signal(vm_id=FIRST, pid=pid, start_ticks=begun, signal="KILL").execute(scene.host)
    assert process.start_ticks(pid) == begun


def test_no_signal_for_anybody_else(scene: Scene) -> None:
    scene.launch()
    other = scene.launch(scene.request(SECOND, slot=2)).values["pid"]
    assert isinstance(other, int)
    refuse_signal(scene, other)
    refuse_signal(scene, os.getpid())
    with actor(scene.host.uid(1)) as same_user:
        refuse_signal(scene, same_user)
    with actor(scene.host.uid(1), scene.jail()) as same_place:
        refuse_signal(scene, same_place)
        (scene.leaf() / "cgroup.procs").write_text(str(same_place))
        refuse_signal(scene, same_place)  # in every respect but the program that it runs
        inspected = Inspect(vm_id=FIRST).execute(scene.host).values["processes"]
        assert isinstance(inspected, list)
        assert sorted(each["monitor"] for each in inspected) == [False, True]
    for pid in (0, 1, -1, 1 << 23):
        with pytest.raises(Refused):
            Signal(vm_id=FIRST, pid=pid, start_ticks=1, signal="KILL").execute(scene.host)


def test_a_pid_that_is_another_process_by_now_gets_nothing(scene: Scene) -> None:
    scene.launch()
    ticks = process.start_ticks(os.getpid())
    assert ticks is not None
    request = Signal(vm_id=FIRST, pid=os.getpid(), start_ticks=ticks - 1, signal="KILL")
    assert request.execute(scene.host).values == {"sent": False}


def test_a_slot_whose_user_has_a_process_is_taken(scene: Scene) -> None:
    with actor(scene.host.uid(1)):
        with pytest.raises(Refused, match="has a process"):
            scene.launch()
        assert scene.left() == []
    scene.launch()


def test_a_sweep_ends_who_lives_in_the_jail_and_nobody_else(scene: Scene) -> None:
    scene.launch()
    with actor(scene.host.uid(1)) as bystander:
        with actor(scene.host.uid(1), scene.jail()) as inhabitant:
            Sweep(vm_id=FIRST).execute(scene.host)
            assert process.start_ticks(inhabitant) is None
        assert process.start_ticks(bystander) is not None
    assert scene.left() == []


# -- control groups ---------------------------------------------------------------------------------------------------


def test_a_group_with_the_jailers_favourite_name_is_not_joined(scene: Scene) -> None:
    """Without ``--cgroup`` the jailer moves into a group of that name in the hierarchy's root, if there is one."""
    trap = hierarchy() / "firecracker"
    trap.mkdir()
    try:
        scene.launch()
        assert (trap / "cgroup.procs").read_text() == ""
        assert (scene.leaf() / "cgroup.procs").read_text() != ""
    finally:
        Sweep(vm_id=FIRST).execute(scene.host)
        trap.rmdir()


def test_a_program_that_plays_a_timer_of_the_kernels_is_not_moved(scene: Scene) -> None:
    pid = scene.launch().values["pid"]
    code = f"open('/proc/self/comm', 'w').write('kvm-pit/{pid}'); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as player:
        assert player.stdout is not None
        assert player.stdin is not None
        player.stdout.readline()
        assert Path(f"/proc/{player.pid}/comm").read_text() == f"kvm-pit/{pid}"[:15] + "\n"
        assert Contain(vm_id=FIRST).execute(scene.host).values == {"threads": 0}
        assert (scene.leaf() / "cgroup.procs").read_text() == f"{pid}\n"
        player.communicate(b"\n")


def test_a_group_with_a_process_in_it_is_not_taken(scene: Scene) -> None:
    scene.leaf().mkdir(parents=True)
    with actor(65533) as other:
        (scene.leaf() / "cgroup.procs").write_text(str(other))
        with pytest.raises(Refused, match="has processes"):
            scene.launch()
        assert process.start_ticks(other) is not None
        assert not scene.jail().exists()
