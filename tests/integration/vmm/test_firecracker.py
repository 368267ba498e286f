"""The Firecracker driver with a real monitor in a real jail, up to where its guest would have to run.

What a guest does is seen in the box (tests/smoke/test_firecracker.py); here the monitor fails, dies and falls silent at
every step of a launch, and nothing of it may be left.
"""

import asyncio
import dataclasses
import itertools
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from banger import errors
from banger.helper.host import Host
from banger.helper.operation import Operation, Outcome
from banger.privileged.runner import Local
from banger.vmm import stub
from banger.vmm.driver import Drive, Handle, LaunchSpec
from banger.vmm.firecracker import api, configuration
from banger.vmm.firecracker.driver import FirecrackerDriver
from banger.vmm.firecracker.resources import Request
from tests import jails
from tests.jails import FIRST, Scene

pytestmark = pytest.mark.root

STEPS = len(list(configuration.requests(LaunchSpec(
    vm_id=FIRST, directory="/", runtime="/", kernel="/", initrd="/", cmdline=(), vcpus=1, memory=1 << 28, drives=(),
))))  # fmt: skip
"""Requests of a launch."""


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(jails, "OWNER", os.geteuid())
    with jails.make_scene(monkeypatch) as scene:
        yield scene


def spec(scene: Scene, kernel: bytes | None = None) -> LaunchSpec:
    """A machine of the smallest guest there is."""
    return LaunchSpec(
        vm_id=FIRST,
        directory=scene.host.state,
        runtime=scene.host.state,
        kernel=scene.file(stub.elf() if kernel is None else kernel, "vmlinux"),
        initrd=scene.file(b"an initrd", "initrd"),
        cmdline=(),
        vcpus=1,
        memory=64 << 20,
        drives=(),
        slot=1,
    )


def driver(scene: Scene) -> FirecrackerDriver:
    return FirecrackerDriver(Local(scene.host), f"{scene.host.state}/cache")


def monitor(scene: Scene) -> int:
    """The pid of the machine's monitor."""
    (pid,) = map(int, (scene.leaf() / "cgroup.procs").read_text().split())
    return pid


def before_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], object]) -> None:
    """Do something before that request of a launch is answered; before the last, which starts the guest, is made."""
    send, answered = api.Client.send, api.Client._answered
    numbers = itertools.count()

    async def acting(client: api.Client, request: Request) -> object:
        if next(numbers) == step < STEPS - 1:
            act()
        return await answered(client, request)

    async def sending(client: api.Client, *requests: Request) -> object:
        if step == STEPS - 1 and len(requests) == 1:
            act()
        return await send(client, *requests)

    monkeypatch.setattr(api.Client, "_answered", acting)
    monkeypatch.setattr(api.Client, "send", sending)


# -- a launch that fails ----------------------------------------------------------------------------------------------


def test_a_kernel_that_is_none_is_refused_in_firecrackers_words(scene: Scene) -> None:
    wanted = spec(scene, kernel=b"this is no kernel\n" * 1000)
    with pytest.raises(errors.VmmFailed, match=r"PUT /actions: .*[Kk]ernel"):
        asyncio.run(driver(scene).launch(wanted))
    assert scene.left() == []


@pytest.mark.parametrize("step", range(STEPS))
def test_a_monitor_that_dies_at_a_step_leaves_nothing(step: int, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = spec(scene)
    before_step(monkeypatch, step, lambda: os.kill(monitor(scene), signal.SIGKILL))
    with pytest.raises(errors.VmmFailed, match="the monitor has ended in the middle of its start"):
        asyncio.run(driver(scene).launch(wanted))
    assert scene.left() == []


def test_a_monitor_that_falls_silent_is_ended(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = spec(scene)
    monkeypatch.setattr(api.Client.__init__, "__defaults__", (0.3,))
    before_step(monkeypatch, 3, lambda: os.kill(monitor(scene), signal.SIGSTOP))
    with pytest.raises(errors.VmmFailed, match="no answer within"):
        asyncio.run(driver(scene).launch(wanted))
    assert scene.left() == []


class Interrupting(Local):
    """Cancels the caller in the middle of its nth operation."""

    def __init__(self, host: Host, number: int) -> None:
        super().__init__(host)
        self.left = number

    async def perform(self, operation: Operation, *, descriptors: Sequence[int] = (), change: str = "") -> Outcome:
        self.left -= 1
        if self.left == 0:
            asyncio.get_running_loop().call_soon(launching[0].cancel)
        return await super().perform(operation, descriptors=descriptors, change=change)


launching: list["asyncio.Task[Handle]"] = []


@pytest.mark.parametrize("number", range(1, 3))  # the kernel, the jail
def test_a_launch_that_is_cancelled_leaves_nothing(number: int, scene: Scene) -> None:
    wanted = spec(scene)
    interrupted = FirecrackerDriver(Interrupting(scene.host, number), "/nowhere")

    async def cancelled() -> None:
        launching[:] = [asyncio.ensure_future(interrupted.launch(wanted))]
        with pytest.raises(asyncio.CancelledError):
            await launching[0]

    asyncio.run(cancelled())
    assert scene.left() == []


@pytest.mark.parametrize("step", [0, STEPS - 2, STEPS - 1])
def test_one_that_is_cancelled_while_the_machine_is_described_leaves_nothing(
    step: int, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_step(monkeypatch, step, lambda: launching[0].cancel())

    async def cancelled() -> None:
        launching[:] = [asyncio.ensure_future(driver(scene).launch(spec(scene)))]
        with pytest.raises(asyncio.CancelledError):
            await launching[0]

    asyncio.run(cancelled())
    assert scene.left() == []


def test_a_drive_that_is_not_the_machines_is_refused(scene: Scene) -> None:
    stranger = Drive(serial="root", path="/dev/null", format="raw")
    wanted = spec(scene)
    with pytest.raises(errors.VmmFailed, match="is not this machine's device"):
        asyncio.run(driver(scene).launch(replace(wanted, drives=(stranger,))))
    assert scene.left() == []


# -- a machine that runs ----------------------------------------------------------------------------------------------


def test_a_second_machine_of_that_name_is_refused_and_the_first_goes_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = driver(scene)
    monkeypatch.setattr(configuration, "requests", all_but_the_start)
    handle = asyncio.run(started.launch(spec(scene)))
    with pytest.raises(errors.VmmFailed, match=r"must be (swept|removed) first"):
        asyncio.run(started.launch(spec(scene)))
    assert started.alive(handle)
    assert handle.pid == monitor(scene)
    asyncio.run(started.kill(handle))
    asyncio.run(started.kill(handle))
    assert not started.alive(handle)
    assert scene.left() == []


def test_waiting_for_the_agent_ends_with_the_machine(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    started = driver(scene)
    monkeypatch.setattr(configuration, "requests", all_but_the_start)
    handle = asyncio.run(started.launch(spec(scene)))

    async def wait() -> None:
        attaching = asyncio.ensure_future(started.connect_agent(handle))
        await asyncio.sleep(0.1)
        os.kill(handle.pid, signal.SIGKILL)
        with pytest.raises(errors.AgentLost):
            await attaching
        ended = await started.wait(handle, 10)
        assert ended is not None
        assert ended.reason == "killed"
        await started.kill(handle)

    asyncio.run(wait())
    assert scene.left() == []


_whole = configuration.requests


def all_but_the_start(spec: LaunchSpec) -> Iterator[Request]:
    """This host's KVM need not run guests."""
    *described, _ = _whole(spec)
    yield from described


# -- whether it works here --------------------------------------------------------------------------------------------


def test_what_is_not_roots_alone_is_not_used(scene: Scene, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    shutil.copy(scene.host.firecracker, tmp_path / "firecracker")
    host = dataclasses.replace(scene.host, firecracker=str(tmp_path / "firecracker"))
    found = asyncio.run(FirecrackerDriver(Local(host), f"{scene.host.state}/cache").availability())
    assert not found.usable
    assert f"somebody other than root can write {tmp_path}" in found.reason
    host = dataclasses.replace(scene.host, jailer="/usr/local/bin/no-such-jailer")
    found = asyncio.run(FirecrackerDriver(Local(host), f"{scene.host.state}/cache").availability())
    assert not found.usable
    assert "no-such-jailer is not installed" in found.reason


def test_the_answer_comes_from_a_guest_and_nothing_of_it_is_left(scene: Scene) -> None:
    """On a host whose KVM runs guests it says so, on another why not; both after an attempt."""
    found = asyncio.run(driver(scene).availability())
    assert found.reason.startswith("Firecracker 1.12.1")
    assert ("runs guests" in found.reason) is found.usable
    (warning,) = found.warnings
    assert "CVE-2026-1386" in warning
    assert scene.left() == []
    assert not [each for each in os.listdir(scene.host.state) if each.startswith("probe-")]
