"""Processes known by what they are, and signalled only while they are that."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.helper import process
from banger.helper.operation import Failed


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    made = subprocess.Popen(["/bin/sleep", "3600"])
    yield made
    made.kill()
    made.wait()


def test_what_a_process_is(child: "subprocess.Popen[bytes]") -> None:
    found = process.hold(child.pid)
    assert found is not None
    descriptor, seen = found
    assert seen.start_ticks == process.start_ticks(child.pid)
    assert seen.uid == os.geteuid()
    assert seen.executable == process.file_id(os.stat("/bin/sleep"))
    assert seen.root == process.file_id(os.stat("/"))
    assert seen.cgroup == process.cgroup(os.getpid())
    assert process.alive(descriptor)
    assert process.send(descriptor, signal.SIGSTOP)
    process.end(descriptor)
    assert not process.alive(descriptor)
    child.wait()
    assert not process.send(descriptor, signal.SIGKILL)
    os.close(descriptor)


def test_the_same_number_with_another_start_is_another_process(child: "subprocess.Popen[bytes]") -> None:
    ticks = process.start_ticks(child.pid)
    assert ticks
    descriptor = process.held(child.pid, ticks)
    assert descriptor is not None
    os.close(descriptor)
    before = len(os.listdir("/proc/self/fd"))
    assert process.held(child.pid, ticks + 1) is None
    assert len(os.listdir("/proc/self/fd")) == before


def test_those_that_are_gone(child: "subprocess.Popen[bytes]") -> None:
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie, which still has its number
    assert process.look(child.pid) is None
    assert process.hold(child.pid) is None
    child.wait()
    assert process.hold(child.pid) is None
    for number in (-1, 0, 1 << 22, 1 << 40):
        assert process.hold(number) is None


def test_a_lying_command_line_changes_nothing() -> None:
    liar = subprocess.Popen(["/firecracker --id x", "3600"], executable="/bin/sleep")
    try:
        seen = process.look(liar.pid)
        assert seen is not None
        assert seen.executable == process.file_id(os.stat("/bin/sleep"))
    finally:
        liar.kill()
        liar.wait()


def test_the_roots_of_everybody_is_no_jail() -> None:
    root = os.open("/", os.O_PATH)
    with pytest.raises(Failed, match="no directory of a jail"):
        process.with_root(root)
    os.close(root)


@pytest.mark.root
def test_those_that_a_chroot_holds(tmp_path: Path) -> None:
    (tmp_path / "busybox").write_bytes(Path("/usr/bin/busybox").read_bytes())
    (tmp_path / "busybox").chmod(0o755)
    inside = subprocess.Popen(["chroot", str(tmp_path), "/busybox", "sleep", "3600"])
    root = os.open(tmp_path, os.O_PATH)
    try:
        while process.with_root(root) != [inside.pid]:
            assert inside.poll() is None
            time.sleep(0.01)
    finally:
        os.close(root)
        inside.kill()
        inside.wait()
