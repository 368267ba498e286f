"""What machines take, held against what this host says of them."""

import os
from pathlib import Path

import pytest

from banger import errors
from tests.installation import MIB, Installation, scenario


@scenario
async def test_a_machine_that_runs_and_one_that_does_not(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create()
        await daemon.create("two", start=False)
        (running,) = (await daemon.vms.stats([])).stats
        assert (running.name, running.memory, running.vcpu) == ("one", 256 * MIB, daemon.vms.show("one").vcpu)
        assert running.cpu_seconds is not None and running.cpu_seconds >= 0
        assert running.memory_resident is not None and MIB < running.memory_resident < 1 << 30
        assert running.uptime is not None and running.cpu_seconds is not None
        assert running.cpu_seconds <= running.uptime * (os.cpu_count() or 1) + 0.1, "of the same time"
        assert (running.received, running.sent) == (None, None), "nobody counts"
        both = (await daemon.vms.stats(["two", "one", "two"])).stats
        assert [each.name for each in both] == ["two", "one"]
        assert (both[0].cpu_seconds, both[0].memory_resident, both[0].uptime) == (None, None, None)
        path = Path(installation.paths.vm(both[0].id), "disk.qcow2")
        before = both[0].disk_used
        assert before == sum(each.stat().st_blocks * 512 for each in (path.parent, *path.parent.iterdir())) > 0
        with path.open("ab") as file:
            file.write(os.urandom(MIB))
            os.fsync(file.fileno())
        (after,) = (await daemon.vms.stats(["two"])).stats
        assert after.disk_used >= before + MIB
        assert after.disk_size == both[0].disk_size
        with pytest.raises(errors.NotFound):
            await daemon.vms.stats(["one", "absent"])
