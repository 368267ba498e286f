"""A daemon that dies at any moment leaves what the next one puts right."""

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from banger import proc
from banger.api.vm import CreateVm
from banger.vms import boot, strays
from tests.installation import IMAGE, Installation, scenario


@scenario
async def test_a_running_machine_is_found_again_and_served(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create()
        before = daemon.vms.show("one")
    async with installation.daemon() as daemon:
        assert daemon.vms.show("one") == before
        assert await daemon.run("one", "/bin/echo", "again") == (0, "again\n")
        assert before.pid is not None
        os.kill(before.pid, 9)
        await daemon.until(lambda: daemon.vms.show("one").state == "stopped")


@scenario
async def test_a_machine_that_died_meanwhile_is_put_on_record_as_stopped(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create()
        machine = daemon.vms.show("one")
    assert machine.pid is not None and machine.started is not None
    os.kill(machine.pid, 9)
    await asyncio.sleep(0)
    async with installation.daemon() as daemon:
        await daemon.until(lambda: daemon.vms.show("one").state == "stopped")
        assert daemon.vms.show("one").stop_reason == "killed"
        assert not os.path.exists(installation.paths.vm_runtime(machine.id))


@pytest.mark.parametrize(
    "stage", ["reserve", "image", "kernel", "disk", "work-disk", "initrd", "monitor", "waiting for the guest"]
)
@scenario
async def test_an_unfinished_create_is_undone(installation: Installation, stage: str) -> None:
    installation.answer("/bin/cat")
    async with installation.daemon() as daemon:
        operation = await daemon.vms.create(CreateVm(name="one", image=IMAGE))
        async for state in daemon.engine.follow(operation.id):
            if stage in (state.step, state.stage):
                break
    async with installation.daemon() as daemon:
        assert daemon.vms.list() == [] and installation.machine_files() == []
        assert daemon.engine.operation(operation.id).state == "failed"


@pytest.mark.parametrize("stage", ["switch-off", "files", "row"])
@scenario
async def test_an_unfinished_delete_is_finished(installation: Installation, stage: str) -> None:
    async with installation.daemon() as daemon:
        await daemon.create()
        operation = await daemon.vms.delete("one")
        async for state in daemon.engine.follow(operation.id):
            if stage in (state.step, state.stage):
                break
    async with installation.daemon() as daemon:
        await daemon.done(operation)
        assert daemon.vms.list() == [] and installation.machine_files() == []


@scenario
async def test_a_monitor_that_nobody_has_on_record_is_ended_with_its_machine(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create(start=False)
        machine = daemon.vms.show("one").id
        words = ["-initrd", os.path.join(installation.paths.vm(machine), boot.INITRD), "-append"]
        stray = proc.spawn([sys.executable, "-c", "import time; time.sleep(600)", *words], log=os.devnull)
        while not Path(f"/proc/{stray.pid}/cmdline").read_bytes():  # exec has let go of us, and not yet set it
            time.sleep(0.01)  # noqa: ASYNC251 - nothing else is to run
        assert strays.find(installation.paths, machine) == [stray]
        await daemon.done(await daemon.vms.delete("one"))
        assert not proc.alive(stray)
