"""What is told of machines and of their changes."""

import os

from banger.api.event import Event
from banger.api.vm import StopVm
from tests.installation import Installation, scenario


@scenario
async def test_a_life_is_told(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        listener = daemon.engine.events.listen()
        await daemon.create()
        await daemon.done(await daemon.vms.stop("one", StopVm(timeout=5)))
        await daemon.done(await daemon.vms.start("one"))
        pid = daemon.vms.show("one").pid
        assert pid is not None
        os.kill(pid, 9)
        await daemon.until(lambda: daemon.vms.show("one").state == "stopped")
        await daemon.done(await daemon.vms.delete("one"))
        told: list[Event] = []

        async def read() -> None:
            async for event in listener.events():
                told.append(event)
                if (event.change, event.state) == ("vm.delete", "done"):
                    return

        await read()
    machines = [(each.state, each.reason) for each in told if each.kind == "machine"]
    assert [state for state, _ in machines] == ["created", "running", "stopped", "running", "stopped", "deleted"]
    assert machines[4][1] == "killed"
    changes = [(each.change, each.state) for each in told if each.kind == "operation"]
    kinds = ("vm.create", "vm.stop", "vm.start", "vm.delete")
    assert changes == [(kind, state) for kind in kinds for state in ("running", "done")]
    assert {each.name for each in told} == {"one"}
