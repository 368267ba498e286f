"""A monitor in its jail, by the real jailer: launched, looked at from outside, reached, signalled, swept away."""

import errno
import os
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from banger.helper import cgroup, process, protocol
from banger.helper.host import Host
from banger.helper.inspection import Inspect, Jails
from banger.helper.launch import Launch, StoredFile, Sweep
from banger.helper.metrics import Metrics
from banger.helper.operation import Failed, Outcome, Refused
from banger.helper.signalling import Signal
from tests.jails import FIRST, OWNER, SECOND, Scene

pytestmark = pytest.mark.root


def status(pid: int, field: str) -> str:
    """A line of a process's status."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return line.partition(":")[2].strip()
    raise AssertionError(field)


def pid_of(outcome: Outcome) -> int:
    pid = outcome.values["pid"]
    assert isinstance(pid, int)
    return pid


METRICS = b'{"metrics_path": "/run/metrics"}'


def ask(descriptor: int, path: str, body: bytes = b"") -> bytes:
    """One request to the monitor's API: it puts the body, or gets."""
    head = f"PUT {path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n" if body else f"GET {path} HTTP/1.1\r\n\r\n"
    with socket.socket(fileno=descriptor) as connection:
        connection.settimeout(30)
        connection.sendall(head.encode() + body)
        return connection.recv(4096)


def signal(scene: Scene, outcome: Outcome, number: str) -> bool:
    pid, ticks = outcome.values["pid"], outcome.values["start_ticks"]
    assert isinstance(pid, int)
    assert isinstance(ticks, int)
    request = Signal(vm_id=FIRST, pid=pid, start_ticks=ticks, signal=number)
    return bool(request.execute(scene.host).values["sent"])


def tasks(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())


def test_a_monitor_is_nobody_in_a_small_place(scene: Scene) -> None:
    outcome = scene.launch()
    pid, uid = pid_of(outcome), scene.host.uid(1)
    assert outcome.values["uid"] == uid
    assert set(status(pid, "Uid").split()) == set(status(pid, "Gid").split()) == {str(uid)}
    assert status(pid, "Groups") == ""
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status(pid, kind), 16) == 0
    assert status(pid, "NoNewPrivs") == "1"
    assert os.path.samestat(os.stat(f"/proc/{pid}/root"), scene.jail().stat())
    assert os.path.samestat(os.stat(f"/proc/{pid}/exe"), (scene.jail() / "firecracker").stat())
    assert (scene.leaf() / "cgroup.procs").read_text().split() == [str(pid)]
    assert os.getsid(pid) == pid
    assert {os.readlink(f"/proc/{pid}/fd/{number}") for number in (1, 2)} == {str(scene.console)}
    limits = Path(f"/proc/{pid}/limits").read_text()
    for name, value in (("file size", (128 + 64) << 20), ("open files", 2048), ("core file size", 0)):
        (line,) = [each for each in limits.splitlines() if each.startswith(f"Max {name} ")]
        assert line.split()[-3:-1] == [str(value)] * 2
    # The API's thread has its filter once it answers; the other threads get theirs when the guest begins.
    assert FIRST.encode() in ask(scene.connect(), "/")
    assert "2" in {Path(each, "status").read_text().partition("Seccomp:\t")[2][:1] for each in tasks(pid)}


def test_it_can_write_below_run_alone(scene: Scene) -> None:
    extra = scene.store(b"a drive")
    plain = scene.request()
    values = {name: getattr(plain, name) for name in ("vm_id", "slot", "kernel", "vcpus", "memory")}
    scene.launch(Launch(**values, files=(StoredFile("modules", extra),)))
    uid = scene.host.uid(1)
    writable = set()
    for path in (scene.jail(), *scene.jail().rglob("*")):
        found = path.lstat()
        if stat.S_ISCHR(found.st_mode):
            assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (uid, 0o600)
        elif found.st_uid == uid or found.st_mode & 0o022:
            writable.add(str(path.relative_to(scene.jail())))
    assert writable == {"run", "run/api.sock", "run/metrics", "run/vsock.sock_1024"}
    for name, linked in (("vmlinux", True), ("initrd", False), ("modules", True)):
        found = (scene.jail() / name).stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (0, 0o444)
        assert (found.st_nlink > 1) is linked, "what machines share is a link, not a copy"
    for path in list(scene.jail().parents)[:3]:
        assert (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (0, 0o700)


def test_it_is_shown_as_it_is(scene: Scene) -> None:
    outcome = scene.launch()
    shown = Inspect(vm_id=FIRST).execute(scene.host).values
    assert (shown["jail"], shown["cgroup"], shown["uid"]) == (True, True, scene.host.uid(1))
    known = {"pid": outcome.values["pid"], "start_ticks": outcome.values["start_ticks"], "monitor": True}
    assert shown["processes"] == [known]
    limits, wanted = shown["limits"], cgroup.limits(128, 1, 100)
    assert isinstance(limits, dict)
    assert wanted.items() <= limits.items()


def test_its_api_answers_whoever_may_ask(scene: Scene) -> None:
    scene.launch()
    assert FIRST.encode() in ask(scene.connect(), "/")
    with pytest.raises(Failed, match=r"vsock\.sock") as failure:
        scene.connect(socket="vsock")
    assert failure.value.busy, "it may come"
    with pytest.raises(Failed, match="no jail"):
        scene.connect(SECOND)


def test_its_metrics_are_read_by_whoever_may_ask(scene: Scene) -> None:
    """The monitor holds its own end, so a reader that comes and goes is none of its concern."""
    with pytest.raises(Failed, match="no jail"):
        Metrics(vm_id=FIRST).execute(scene.host)
    scene.launch()
    assert b" 204 " in ask(scene.connect(), "/metrics", METRICS)
    writing = os.open(scene.jail() / "run" / "metrics", os.O_WRONLY | os.O_NONBLOCK)
    for document in (b'{"a": 1}\n', b'{"a": 2}\n'):
        (reading,) = Metrics(vm_id=FIRST).execute(scene.host).descriptors
        assert not os.get_inheritable(reading)
        with pytest.raises(BlockingIOError):
            os.read(reading, 100)
        os.write(writing, document)
        assert os.read(reading, 100) == document
        os.close(reading)
    os.close(writing)


KNOCK = """
import os, socket, sys
uid = int(sys.argv[2])
connection = socket.socket(socket.AF_UNIX)
os.chroot(sys.argv[1])
os.setgroups([int(sys.argv[3])])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
print(connection.connect_ex("/run/vsock.sock_1024"))
"""


def knock(root: Path, uid: int, group: int) -> int:
    """Somebody in a jail connects to the host as a guest's monitor would; the error's number."""
    argv = [sys.executable, "-c", KNOCK, str(root), str(uid), str(group)]
    return int(subprocess.run(argv, check=True, capture_output=True, timeout=30).stdout)


def test_its_user_alone_reaches_who_listens_for_the_guest(scene: Scene) -> None:
    with scene.opened() as given:
        outcome = scene.request().execute(scene.host, given)
    descriptor, api = outcome.descriptors
    os.close(api)
    uid, other = scene.host.uid(1), scene.host.uid(2)
    name = scene.jail() / "run" / "vsock.sock_1024"
    with socket.socket(fileno=descriptor) as listening:
        assert not os.get_inheritable(descriptor)
        assert (name.stat().st_uid, stat.S_IMODE(name.stat().st_mode)) == (uid, 0o600)
        assert knock(scene.jail(), other, uid) == errno.EACCES
        assert knock(scene.jail(), scene.host.owner_uid, uid) == errno.EACCES
        assert knock(scene.jail(), uid, uid) == 0
        listening.settimeout(30)
        listening.accept()[0].close()
        held = [os.readlink(each) for each in Path(f"/proc/{pid_of(outcome)}/fd").iterdir()]
        assert os.readlink(f"/proc/self/fd/{descriptor}") not in held
    assert knock(scene.jail(), uid, uid) == errno.ECONNREFUSED
    Sweep(vm_id=FIRST).execute(scene.host)
    assert scene.left() == []


def test_a_monitor_that_ends_while_it_is_connected_to_is_no_stranger(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome, pids = scene.launch(), cgroup.pids

    def ended(host: Host, vm_id: str) -> list[int]:
        pidfd = os.pidfd_open(pid_of(outcome))
        signal(scene, outcome, "KILL")
        assert process.wait(pidfd, 30)
        os.close(pidfd)
        return pids(host, vm_id)

    monkeypatch.setattr("banger.helper.connection.cgroup.pids", ended)
    with pytest.raises(Failed, match="has ended"):
        scene.connect()


def test_two_machines_have_nothing_in_common(scene: Scene) -> None:
    first, second = scene.launch(), scene.launch(scene.request(SECOND, slot=2))
    assert first.values["uid"] != second.values["uid"]
    assert Jails().execute(scene.host).values["machines"] == [FIRST, SECOND]
    Sweep(vm_id=SECOND).execute(scene.host)
    assert Jails().execute(scene.host).values["machines"] == [FIRST]
    assert FIRST.encode() in ask(scene.connect(), "/")
    assert (scene.leaf() / "cgroup.procs").read_text().split() == [str(pid_of(first))]


def test_a_signal_reaches_the_monitor(scene: Scene) -> None:
    outcome = scene.launch()
    pidfd = os.pidfd_open(pid_of(outcome))
    assert signal(scene, outcome, "TERM")
    assert process.wait(pidfd, 30)
    os.close(pidfd)
    assert not signal(scene, outcome, "KILL"), "it has ended"
    inspected = Inspect(vm_id=FIRST).execute(scene.host).values
    assert (inspected["jail"], inspected["processes"]) == (True, [])


def test_all_goes_at_once_and_twice(scene: Scene) -> None:
    request = scene.request()
    pid = pid_of(scene.launch(request))
    request.undo(scene.host)
    assert scene.left() == []
    assert not Path(f"/proc/{pid}/exe").exists()
    request.undo(scene.host)
    scene.launch(request)
    request.undo(scene.host)
    assert scene.left() == []


def test_a_second_launch_is_refused_and_harms_nothing(scene: Scene) -> None:
    outcome = scene.launch()
    with pytest.raises(Refused, match="must be swept first"):
        scene.launch()
    with pytest.raises(Refused, match="slot is taken"):
        scene.launch(scene.request(SECOND, slot=1))
    assert (scene.leaf() / "cgroup.procs").read_text().split() == [str(pid_of(outcome))]
    assert not (scene.jail(SECOND)).parent.exists()


def test_a_process_that_only_waits_to_be_reaped_keeps_no_slot(scene: Scene) -> None:
    uid = scene.host.uid(1)
    with subprocess.Popen(["/bin/true"], user=uid, group=uid, extra_groups=[]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        assert status(ended.pid, "Uid").split() == [str(uid)] * 4
        scene.launch()


def test_of_two_at_once_for_one_slot_or_one_machine_one_is_launched(scene: Scene) -> None:
    same_slot = [scene.request(), scene.request(SECOND)]
    same_machine = [scene.request(), scene.request(slot=2)]
    for requests in (same_slot, same_machine):
        with ThreadPoolExecutor(2) as pool, scene.opened() as given:
            attempts = [pool.submit(each.execute, scene.host, given) for each in requests]
            failures = [attempt.exception() for attempt in attempts]
        assert [type(each) for each in failures if each is not None] == [Refused]
        (winner,) = [attempt.result() for attempt in attempts if attempt.exception() is None]
        protocol.close_all(winner.descriptors)
        (vm_id,) = {each.vm_id for each, failure in zip(requests, failures, strict=True) if failure is None}
        assert (scene.leaf(vm_id) / "cgroup.procs").read_text().split() == [str(pid_of(winner))]
        Sweep(vm_id=vm_id).execute(scene.host)
        assert scene.left() == []


def test_what_a_kill_leaves_is_swept(scene: Scene) -> None:
    """The helper's process may die between any two steps; these are the states that it leaves."""
    jails = Path(scene.host.jails) / "firecracker"
    for state in ("", "root", "root/run", "root/dev/net"):
        jails.mkdir(parents=True, exist_ok=True)
        (jails / FIRST / state).mkdir(parents=True)
        Sweep(vm_id=FIRST).execute(scene.host)
        assert scene.left() == []
    Path(scene.host.cgroup).mkdir()
    scene.leaf().mkdir()
    assert Jails().execute(scene.host).values["machines"] == [FIRST]
    Sweep(vm_id=FIRST).execute(scene.host)
    assert scene.left() == []


def test_a_monitor_outside_its_control_group_is_swept(scene: Scene) -> None:
    pid = pid_of(scene.launch())
    elsewhere = scene.leaf(SECOND)
    elsewhere.mkdir()
    try:
        (elsewhere / "cgroup.procs").write_text(str(pid))
        scene.leaf().rmdir()
        Sweep(vm_id=FIRST).execute(scene.host)
        assert (elsewhere / "cgroup.procs").read_text() == ""
        assert not scene.jail().exists()
    finally:
        (elsewhere / "cgroup.kill").write_text("1")
        elsewhere.rmdir()


def test_a_monitor_that_does_not_begin_says_why(scene: Scene) -> None:
    """Firecracker's file is a script here: it tells the version that the jailer has, and cannot run in the jail."""
    directory = Path(scene.host.private) / "bin"
    directory.mkdir()
    script = directory / "firecracker"
    script.write_text("#!/bin/sh\necho Firecracker v1.12.1\n")
    script.chmod(0o755)
    object.__setattr__(scene.host, "firecracker", str(script))
    scene.console.write_bytes(b"what an earlier run said\n")
    before = os.listdir("/proc/self/fd")
    with pytest.raises(Failed, match=r"(?i)exec") as failure:
        scene.launch()
    assert "earlier" not in str(failure.value)
    assert os.listdir("/proc/self/fd") == before
    assert scene.left() == []


def test_a_pair_of_two_releases_is_refused(scene: Scene) -> None:
    scene.launch()
    memo = Path(scene.host.runtime) / "versions.json"
    assert memo.stat().st_uid == 0
    Sweep(vm_id=FIRST).execute(scene.host)
    directory = Path(scene.host.private) / "bin"
    directory.mkdir()
    script = directory / "jailer"
    script.write_text("#!/bin/sh\necho Jailer v1.13.1\n")
    script.chmod(0o755)
    object.__setattr__(scene.host, "jailer", str(script))
    with pytest.raises(Failed, match=r"1\.12\.1 and jailer is 1\.13\.1"):
        scene.launch()
    assert scene.left() == []


def test_the_console_is_the_callers(scene: Scene) -> None:
    """It has to be a regular file of the owner's, and open for appending."""
    path = scene.file(b"", "other")

    def attempt(flags: int) -> None:
        descriptor = os.open(path, flags)
        try:
            with scene.opened() as given, pytest.raises(Refused, match="console"):
                scene.request().execute(scene.host, (descriptor, given[1]))
        finally:
            os.close(descriptor)

    for flags in (os.O_RDONLY, os.O_WRONLY, os.O_PATH, os.O_RDONLY | os.O_APPEND):
        attempt(flags)
    os.chown(path, OWNER + 1, OWNER)
    attempt(os.O_WRONLY | os.O_APPEND)
    path = "/dev/null"
    attempt(os.O_WRONLY | os.O_APPEND)
    with pytest.raises(Refused, match="two descriptors"):
        scene.request().execute(scene.host)
    assert scene.left() == []


def test_the_initrd_is_the_callers_and_a_copy_of_it_is_the_monitors(scene: Scene) -> None:
    def attempt(path: str, flags: int) -> None:
        descriptor = os.open(path, flags)
        try:
            with scene.opened() as (console, _), pytest.raises(Refused, match="initial RAM disk"):
                scene.request().execute(scene.host, (console, descriptor))
        finally:
            os.close(descriptor)

    for flags in (os.O_WRONLY, os.O_PATH):
        attempt(scene.initrd, flags)
    for path in ("/etc/passwd", "/dev/null", scene.host.state):
        attempt(path, os.O_RDONLY)
    large = scene.file(b"", "large")
    os.truncate(large, (256 << 20) + 1)
    attempt(large, os.O_RDONLY)
    assert scene.left() == []
    scene.launch()
    Path(scene.initrd).write_bytes(b"another")
    assert (scene.jail() / "initrd").read_bytes() == b"initrd" * 1000
    assert (scene.jail() / "initrd").stat().st_nlink == 1


def test_a_tap_of_another_slot_is_refused(scene: Scene) -> None:
    name = f"tap-fc-{os.getpid() % 10_000}"
    subprocess.run(["ip", "tuntap", "add", name, "mode", "tap", "user", str(scene.host.uid(2))], check=True)
    try:
        plain = scene.request()
        values = {each: getattr(plain, each) for each in ("vm_id", "slot", "kernel", "vcpus", "memory")}
        with pytest.raises(Refused, match="is for uid"):
            scene.launch(Launch(**values, tap=name))
        scene.launch(Launch(**values | {"slot": 2}, tap=name))
    finally:
        Sweep(vm_id=FIRST).execute(scene.host)
        subprocess.run(["ip", "link", "delete", name], check=True)
