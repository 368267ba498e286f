"""What the driver does for a machine that runs: it looks for its end, and has the kernel's thread for it contained."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from banger import proc
from banger.helper.host import Host
from banger.helper.operation import Operation, Outcome
from banger.privileged.operations import Contain, Metrics, Signal, Sweep
from banger.vmm.driver import Handle
from banger.vmm.firecracker import driver as drivers
from banger.vmm.firecracker.driver import FirecrackerDriver

ID = "0123456789abcdef"
HALTED = b"[    5.123456] reboot: System halted\r\n"


class Helper:
    """Does nothing, and keeps what it was asked for."""

    def __init__(self, *descriptors: int) -> None:
        self.descriptors = descriptors
        self.host = Host(owner_uid=0, owner_gid=0, state="/nowhere", private="/nowhere-root", cgroup="/nowhere")
        self.asked: list[Operation] = []
        self.told = asyncio.Event()

    async def perform(self, operation: Operation, *, descriptors: Sequence[int] = (), change: str = "") -> Outcome:
        self.asked.append(operation)
        self.told.set()
        return Outcome({}, self.descriptors if isinstance(operation, Metrics) else ())

    async def revert(self, operation: Operation, *, change: str = "") -> None:
        """There is nothing to take back."""


@pytest.fixture
def handle(tmp_path: Path) -> Handle:
    """Of a machine whose monitor is this process."""
    console = tmp_path / "console.log"
    console.write_bytes(b"it boots\r\n")
    ticks = proc.start_ticks(os.getpid()) or 0
    return Handle(
        driver="firecracker",
        pid=os.getpid(),
        start_ticks=ticks,
        console=str(console),
        machine="microvm (kvm)",
        details={"vm": ID},
    )


def test_a_machine_that_has_turned_itself_off_is_ended_once(handle: Handle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "_LOOK_SECONDS", 0.005)

    async def go() -> None:
        helper = Helper()
        waiting = asyncio.ensure_future(FirecrackerDriver(helper, "/nowhere").wait(handle))
        await asyncio.sleep(0.02)
        assert helper.asked == []
        with open(handle.console, "ab") as console:
            console.write(HALTED)
        await helper.told.wait()
        await asyncio.sleep(0.02)
        waiting.cancel()
        await asyncio.wait({waiting})
        assert helper.asked == [Signal(vm_id=ID, pid=handle.pid, start_ticks=handle.start_ticks, signal="KILL")]

    asyncio.run(go())


def test_a_machine_that_goes_on_is_waited_for_as_long_as_is_wanted(handle: Handle) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))

    async def go() -> None:
        assert await FirecrackerDriver(Helper(), "/nowhere").wait(handle, 0.01) is None

    asyncio.run(go())
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_one_that_has_ended_meanwhile_is_not_contained(
    handle: Handle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("_CONTAIN_SECONDS", "_COUNTS_SECONDS"):
        monkeypatch.setattr(drivers, name, 0.01)
    monkeypatch.setattr(proc, "wait_gone", ended)

    async def go() -> None:
        pipe = os.pipe2(os.O_NONBLOCK)
        helper = Helper(pipe[0])
        driver = FirecrackerDriver(helper, "/nowhere")
        driver._metrics._pause = 0
        driver._contain(ID, counts)
        driver._contain("another", counts)
        await driver.kill(handle)
        while driver._containing:
            await asyncio.wait(set(driver._containing))
        assert helper.asked == [Sweep(vm_id=ID), Contain(vm_id="another"), Metrics(vm_id="another")]
        os.write(pipe[1], b'{"vcpu": 1}\n')
        os.close(pipe[1])
        while "another" in driver._metrics._pipes:  # noqa: ASYNC110 - the pipe tells the loop, and nobody else
            await asyncio.sleep(0)

    counts = str(tmp_path / "metrics.json")
    asyncio.run(go())
    assert Path(counts).read_text() == '{"vcpu": 1}\n'


async def ended(*_: object) -> bool:
    return True
