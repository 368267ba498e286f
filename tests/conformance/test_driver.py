"""What every driver promises (`banger.vmm.driver`), asked of each of them with real processes.

QEMU and Firecracker boot the guest of `tests.tiny_guest`; the fake driver understands the same words. Firecracker needs
root and a working KVM: it takes part where $BANGER_CONFORMANCE_ROOT names a directory for its jails, as the scenario
tests/smoke/test_firecracker.py does in its host.
"""

import asyncio
import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from banger import errors
from banger.privileged.operations import Jails
from banger.privileged.runner import Local
from banger.vmm.driver import Drive, Driver, Handle
from tests import tiny_guest
from tests.driver_bench import FIRECRACKER, ROOT, Bench, installation, made, remove_empty, run

PATIENCE = 300
"""Seconds after which a guest counts as stuck, on however slow a machine."""


@pytest.fixture(params=["fake", pytest.param("qemu", marks=pytest.mark.qemu), *FIRECRACKER])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with contextlib.ExitStack() as stack:
        guest, host = tiny_guest.guest(), None
        if request.param in FIRECRACKER:  # the helper takes files from the owner's directory alone
            tmp_path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="drv-", dir=os.environ[ROOT])))
            host = installation(tmp_path)
            stack.callback(remove_empty, Path(host.cgroup))
            guest = tiny_guest.Guest(*(str(shutil.copy(each, tmp_path)) for each in guest))
        directory = tmp_path / "machine, one"  # a comma separates options in QEMU's syntax
        directory.mkdir()
        runtime = stack.enter_context(tempfile.TemporaryDirectory(prefix="b,"))  # short: a socket's name has 107 bytes
        bench = Bench(request.param, host, directory, Path(runtime), guest, str(tmp_path / "cache"))
        stack.callback(bench.end)
        yield bench


def connect(driver: Driver, handle: Handle) -> socket.socket:
    """A connection to the agent's port, for plain use."""

    async def limited() -> socket.socket:
        async with asyncio.timeout(PATIENCE):
            return await driver.connect_agent(handle)

    client = run(limited())
    client.setblocking(True)
    return client


def talk(driver: Driver, handle: Handle, message: bytes) -> bytes:
    """Send to the agent's port until the guest, which discards what came before it listened, sends it back."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with connect(driver, handle) as client:
            client.settimeout(1)
            got = b""
            try:
                while message not in got:
                    assert time.monotonic() < deadline, f"no answer, only {got!r}"
                    client.sendall(message)
                    try:
                        data = client.recv(1 << 16)
                    except TimeoutError:
                        continue
                    if not data:
                        raise ConnectionResetError
                    got += data
                return message
            except (ConnectionResetError, BrokenPipeError):  # a vsock may be reset after the machine was resumed
                assert time.monotonic() < deadline


def left_in(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


# -- the process ------------------------------------------------------------------------------------------------------


def test_it_says_whether_it_can_be_used(bench: Bench) -> None:
    found = run(bench.driver.availability())
    assert found.usable, found.reason
    assert found.reason


def test_a_launched_machine_lives_and_can_be_reached(bench: Bench) -> None:
    handle = bench.launch()
    assert bench.driver.alive(handle)
    assert handle.driver == bench.driver.name
    assert talk(bench.driver, handle, b"hello over the port\n") == b"hello over the port\n"


def test_another_driver_object_takes_the_handle_over(bench: Bench, tmp_path: Path) -> None:
    recorded = msgspec.json.encode(bench.launch())
    handle = msgspec.json.decode(recorded, type=Handle)
    other = made(bench.driver.name, str(tmp_path / "another cache"), bench.host)
    assert other.alive(handle)
    run(other.kill(handle))
    assert not bench.driver.alive(handle)


LAUNCHER = """
import asyncio, json, os, signal, sys
import msgspec
from banger.helper.host import Host
from banger.privileged.runner import Local
from banger.vmm import drivers
from banger.vmm.driver import LaunchSpec
spec = msgspec.json.decode(sys.stdin.buffer.read(), type=LaunchSpec)
host = json.loads(sys.argv[3])
driver = drivers.by_name(sys.argv[1], sys.argv[2], Local(Host(**host)) if host else None)
handle = asyncio.run(driver.launch(spec))
sys.stdout.buffer.write(msgspec.json.encode(handle))
sys.stdout.buffer.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_survives_the_sudden_death_of_its_launcher(bench: Bench, tmp_path: Path) -> None:
    host = dataclasses.asdict(bench.host) if bench.host is not None else None
    launcher = subprocess.run(
        [sys.executable, "-c", LAUNCHER, bench.driver.name, str(tmp_path / "cache"), json.dumps(host)],
        input=msgspec.json.encode(bench.spec()),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
        timeout=PATIENCE,
    )
    assert launcher.returncode == -signal.SIGKILL
    handle = msgspec.json.decode(launcher.stdout, type=Handle)
    bench.handles.append(handle)
    assert bench.driver.alive(handle)
    assert talk(bench.driver, handle, b"still here\n")


def test_kill_ends_it_and_leaves_no_socket(bench: Bench) -> None:
    handle = bench.launch()
    run(bench.driver.kill(handle))
    assert not bench.driver.alive(handle)
    assert left_in(bench.runtime) == []
    run(bench.driver.kill(handle))


def test_a_killed_machine_is_reported_as_killed(bench: Bench) -> None:
    handle = bench.launch()
    os.kill(handle.pid, signal.SIGKILL)
    ended = run(bench.driver.wait(handle, PATIENCE))
    assert ended is not None
    assert ended.reason == "killed"


def test_a_later_process_with_the_pid_is_not_mistaken_for_it(bench: Bench) -> None:
    handle = bench.launch()
    time.sleep(0.05)  # start times are told in hundredths of a second
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as other:
        try:
            confused = msgspec.structs.replace(handle, pid=other.pid)
            assert not bench.driver.alive(confused)
            assert run(bench.driver.wait(confused, PATIENCE)) is not None
            run(bench.driver.kill(confused))
            assert other.poll() is None
        finally:
            other.kill()


def test_waiting_has_a_limit(bench: Bench) -> None:
    handle = bench.launch()
    assert run(bench.driver.wait(handle, 0.05)) is None


def test_pause_stops_the_guest_and_resume_lets_it_go_on(bench: Bench) -> None:
    handle = bench.launch()
    assert talk(bench.driver, handle, b"before\n")
    with connect(bench.driver, handle) as client:
        run(bench.driver.pause(handle))
        client.sendall(b"while paused\n")
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.recv(1)
    run(bench.driver.resume(handle))
    assert talk(bench.driver, handle, b"after\n")


# -- the agent's port -------------------------------------------------------------------------------------------------


def test_the_port_is_served_again_after_a_client_was_killed(bench: Bench) -> None:
    handle = bench.launch()
    assert talk(bench.driver, handle, b"first\n")
    for _ in range(3):
        with connect(bench.driver, handle) as client:
            rude = subprocess.Popen(
                [
                    sys.executable, "-c",
                    "import os, sys, time\n"
                    "os.write(int(sys.argv[1]), b'half a mess'); print(flush=True); time.sleep(600)",
                    str(client.fileno()),
                ],
                stdout=subprocess.PIPE,
                pass_fds=[client.fileno()],
            )  # fmt: skip
        with rude:
            assert rude.stdout is not None
            rude.stdout.readline()
            rude.kill()
    assert talk(bench.driver, handle, b"and another\n")


def test_only_its_owner_can_connect(bench: Bench) -> None:
    handle = bench.launch()
    for path in filter(None, (handle.agent_socket, handle.control_socket, handle.console)):
        assert os.stat(path).st_mode & 0o077 == 0


def test_a_machine_that_is_gone_is_an_agent_lost(bench: Bench) -> None:
    handle = bench.launch()
    run(bench.driver.kill(handle))
    with pytest.raises(errors.AgentLost):
        connect(bench.driver, handle)


# -- how it ends ------------------------------------------------------------------------------------------------------


def test_powering_off_is_told_from_a_panic(bench: Bench) -> None:
    ended = run(bench.driver.wait(bench.launch("test.do=poweroff"), PATIENCE))
    assert ended is not None
    assert ended.reason == "powered off"


def test_a_panic_ends_the_machine_with_the_kernels_words(bench: Bench) -> None:
    ended = run(bench.driver.wait(bench.launch("test.do=panic"), PATIENCE))
    assert ended is not None
    assert ended.reason == "panic"
    assert ended.detail


def test_a_flooded_console_is_cut(bench: Bench) -> None:
    handle = bench.launch("test.do=flood")
    deadline = time.monotonic() + PATIENCE
    while os.path.getsize(handle.console) < 40_000:  # a nested guest's serial port takes its time
        assert time.monotonic() < deadline
        time.sleep(0.05)
    run(bench.driver.pause(handle))
    last = self_tail(handle)
    bench.driver.trim_console(handle, 20_000)
    assert os.path.getsize(handle.console) == 10_000
    assert self_tail(handle) == last
    run(bench.driver.resume(handle))
    while os.path.getsize(handle.console) < 12_000:  # it goes on in the same file
        assert time.monotonic() < deadline
        time.sleep(0.05)


def self_tail(handle: Handle) -> bytes:
    return Path(handle.console).read_bytes()[-1000:]


# -- what cannot start ------------------------------------------------------------------------------------------------


def test_a_file_that_is_no_kernel_is_refused(bench: Bench) -> None:
    wrong = bench.directory / "text"
    wrong.write_text("this is no kernel\n" * 1000)
    with pytest.raises(errors.VmmFailed):
        bench.launch(kernel=str(wrong))
    assert_nothing_left(bench)


def test_a_missing_disk_is_named(bench: Bench) -> None:
    gone = str(bench.directory / "gone.img")
    with pytest.raises(errors.VmmFailed, match=re.escape(gone)):
        bench.launch(drives=(Drive(serial="root", path=gone, format="raw"),))
    assert_nothing_left(bench)


def test_a_runtime_directory_that_no_socket_fits_into_is_refused(bench: Bench) -> None:
    if run(bench.driver.availability()).features.jail:
        assert bench.launch().agent_socket == ""  # its sockets are elsewhere
        return
    long = bench.directory / ("x" * 120)
    long.mkdir()
    with pytest.raises(errors.UnsafeDirectory):
        bench.launch(runtime=str(long))
    assert_nothing_left(bench)


def test_a_cancelled_launch_leaves_nothing(bench: Bench) -> None:
    async def cancelled() -> None:
        task = asyncio.ensure_future(bench.driver.launch(bench.spec()))
        await asyncio.sleep(0)
        task.cancel()
        bench.handles.append(await task)  # a driver that does not wait has nothing to cancel

    try:
        run(cancelled())
    except asyncio.CancelledError:
        assert_nothing_left(bench)


def assert_nothing_left(bench: Bench) -> None:
    assert left_in(bench.runtime) == []
    if bench.host is not None:
        found = run(Local(bench.host).perform(Jails()))
        assert found.values == {"machines": []}
    mine = str(bench.directory).encode()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        assert int(pid) == os.getpid() or mine not in words, f"process {pid} is left"
