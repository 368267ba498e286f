"""The judge of the matrix sees what a daemon can leave: each kind of rest is put there, and named."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger import proc
from tests.matrix import judge
from tests.matrix.world import World, world


@pytest.fixture(scope="module")
def made() -> Iterator[World]:
    with world("fake", lambda made: None) as found:
        found.start()
        found.machine("running")
        found.machine("stopped")
        yield found
        found.end()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "patience", 0.0)


def test_nothing_is_found_where_nothing_is(made: World) -> None:
    assert made.faults() == [] and made.disks() == []


@pytest.mark.parametrize(
    ("place", "word"),
    [
        ("state/staging/image-x", "staging"),
        ("state/vms/0123456789abcdef", "machine directories"),
        ("state/images/0123456789abcdef", "image directories"),
        ("runtime/vms/0123456789abcdef", "runtime directories"),
        ("runtime/rest.sock", "of the runtime directory"),
        ("cache/oci/pull-1", "of the cache"),
        ("state/kernels/half", "kernel half is not whole"),
        ("tmp/rest", "temporary files"),
    ],
)
def test_a_rest_on_disk(made: World, place: str, word: str) -> None:
    top, _, rest = place.partition("/")
    path = Path(made.paths.runtime if top == "runtime" else made.directory / top, rest)
    path.mkdir(parents=True)
    try:
        (found,) = made.faults()
        assert word in found and path.name.partition("-")[0] in found
    finally:
        path.rmdir()


def test_a_process(made: World) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as left:
        try:
            assert any(f"process {left.pid}" in each for each in made.faults())
        finally:
            left.kill()


def test_a_monitor_that_is_gone(made: World) -> None:
    made.machine("running")
    (machine,) = made.machines()
    assert machine.handle is not None
    monitor = proc.Identity(machine.handle.pid, machine.handle.start_ticks)
    os.kill(made.pid, signal.SIGSTOP)  # it would notice at once
    try:
        proc.send_signal(monitor, signal.SIGKILL)
        while proc.alive(monitor):
            time.sleep(0.01)
        assert "one is running, and its process is gone" in made.faults()
    finally:
        os.kill(made.pid, signal.SIGCONT)
    while made.machines()[0].state == "running":
        time.sleep(0.01)
    made.machine("stopped")


def test_a_disk_that_is_damaged(made: World) -> None:
    made.machine("stopped")
    (machine,) = made.machines()
    disk = Path(made.paths.vm(machine.id), "disk.qcow2")
    whole = disk.read_bytes()
    try:
        disk.write_bytes(whole[:512] + b"\xff" * (len(whole) - 512))
        with pytest.raises(judge.Failed):
            made.disks()
    finally:
        disk.write_bytes(whole)
