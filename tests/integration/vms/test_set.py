"""Machines that are changed: at rest, while they run, and when the daemon dies in the middle."""

import json
import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from banger import errors
from banger.api.vm import PendingVm, SetVm, StopVm
from banger.engine.change import Report
from banger.vms.reshaping import Rewrite
from tests.installation import MIB, Daemon, Installation, scenario

GIB = 1 << 30


def disk(installation: Installation, daemon: Daemon) -> int:
    """How large the file says that the disk is."""
    path = os.path.join(installation.paths.vm(daemon.vms.show("one").id), "disk.qcow2")
    told = subprocess.run(["qemu-img", "info", "--output=json", path], capture_output=True, check=True).stdout
    return int(json.loads(told)["virtual-size"])


async def change(daemon: Daemon, **fields: object) -> list[str]:
    """Set, through to the end; what the user is told."""
    return (await daemon.done(await daemon.vms.set("one", msgspec.convert(fields, SetVm)))).notices


@scenario
async def test_a_machine_at_rest_is_changed_at_once_and_its_disk_grows_at_its_start(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create(start=False, disk_size=GIB, vcpu=1)
        assert await change(daemon, vcpu=2, disk_size=3 * GIB) == []
        assert await change(daemon, memory=300 * MIB + 1) == []
        machine = daemon.vms.show("one")
        assert (machine.vcpu, machine.memory, machine.disk_size) == (2, 301 * MIB, 3 * GIB)
        assert machine.pending is None
        assert disk(installation, daemon) == GIB
        started = await daemon.done(await daemon.vms.start("one"))
        assert started.phases[0].name == "shape"
        assert disk(installation, daemon) == 3 * GIB
        again = daemon.vms.show("one")
        assert (again.vcpu, again.memory, again.disk_size, again.pending) == (2, 301 * MIB, 3 * GIB, None)
        assert b"banger.grow=1" in b"".join([piece async for piece in daemon.vms.logs("one")])
        restarted = await daemon.done(await daemon.vms.restart("one", StopVm(timeout=5)))
        assert "shape" not in [each.name for each in restarted.phases], "nothing waits"


@scenario
async def test_what_a_running_machine_cannot_take_over_waits_and_says_so(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create(disk_size=GIB, vcpu=1)
        told = await change(daemon, vcpu=2, disk_size=2 * GIB)
        assert len(told) == 1 and "next start" in told[0]
        machine = daemon.vms.show("one")
        assert (machine.vcpu, machine.disk_size) == (1, GIB)
        assert machine.pending == PendingVm(vcpu=2, disk_size=2 * GIB)
        assert await change(daemon, disk_size=2 * GIB) == [], "it waits already"
        assert len(await change(daemon, disk_size=GIB)) == 1, "a growth that has not happened can be taken back"
        assert daemon.vms.show("one").pending == PendingVm(vcpu=2)
        await daemon.done(await daemon.vms.restart("one", StopVm(timeout=5)))
        machine = daemon.vms.show("one")
        assert (machine.vcpu, machine.disk_size, machine.pending) == (2, GIB, None)
        assert disk(installation, daemon) == GIB


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"vcpu": 0},
        {"vcpu": -1},
        {"vcpu": 65},
        {"memory": 0},
        {"memory": 1 << 60},
        {"disk_size": GIB - 4096},
        {"disk_size": 0},
        {"disk_size": -1},
        {"disk_size": 1 << 60},
        {"nat": False},
        {"peers": True},
        {"vcpu": 2, "disk_size": 1},
    ],
    ids=str,
)
@scenario
async def test_what_cannot_be_is_refused_and_changes_nothing(
    installation: Installation, fields: dict[str, object]
) -> None:
    async with installation.daemon() as daemon:
        await daemon.create(start=False, disk_size=GIB)
        before = daemon.vms.show("one")
        with pytest.raises(errors.UsageError):
            await daemon.vms.set("one", msgspec.convert(fields, SetVm))
        assert daemon.vms.show("one") == before


@scenario
async def test_a_disk_that_cannot_grow_leaves_the_machine_as_it_was(installation: Installation) -> None:
    """The disk's header claims what no disk of ours has: qemu-img never sees the file."""
    async with installation.daemon() as daemon:
        await daemon.create(start=False, disk_size=GIB)
        path = Path(installation.paths.vm(daemon.vms.show("one").id), "disk.qcow2")
        sound = path.read_bytes()
        path.write_bytes(sound[:79] + b"\x04" + sound[80:])  # incompatible feature: an external data file
        await change(daemon, disk_size=2 * GIB)
        with pytest.raises(errors.UnusableDisk, match="features"):
            await daemon.done(await daemon.vms.start("one"))
        assert daemon.vms.show("one").state == "created"
        path.write_bytes(sound)
        await daemon.done(await daemon.vms.start("one"))
        assert disk(installation, daemon) == 2 * GIB


@scenario
async def test_a_daemon_that_dies_in_the_middle_has_changed_nothing(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = Rewrite.do

    async def die(self: Rewrite, report: Report) -> None:
        await complete(self, report)
        await daemon.engine.close()  # the row is written, that the task is done is not
        raise errors.Interrupted

    async with installation.daemon() as daemon:
        await daemon.create(start=False, disk_size=GIB, vcpu=1)
        with monkeypatch.context() as patched:
            patched.setattr(Rewrite, "do", die)
            operation = await daemon.vms.set("one", SetVm(vcpu=2))
            with pytest.raises(errors.Interrupted):
                await daemon.done(operation)
        assert daemon.vms.show("one").vcpu == 2
    async with installation.daemon() as daemon:
        assert daemon.engine.operation(operation.id).state == "failed"
        assert daemon.vms.show("one").vcpu == 1


@scenario
async def test_a_machine_in_the_middle_of_a_change_is_not_set(installation: Installation) -> None:
    installation.answer("/bin/cat")
    async with installation.daemon() as daemon:
        await daemon.create(start=False)
        start = await daemon.vms.start("one")
        with pytest.raises(errors.Busy):
            await daemon.vms.set("one", SetVm(vcpu=2))
        daemon.engine.cancel(start.id)
        with pytest.raises(errors.Cancelled):
            await daemon.done(start)
