"""Machines that nobody wants any more delete themselves."""

import asyncio

from banger.api.vm import ExecVm, StopVm
from tests.installation import Installation, scenario


@scenario
async def test_it_goes_when_its_command_has_ended(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create(ephemeral=True)
        assert await daemon.run("one", "/bin/echo", "done") == (0, "done\n")
        await daemon.until(lambda: daemon.names() == [])
        assert installation.machine_files() == []


@scenario
async def test_it_stays_while_anybody_holds_it(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create(ephemeral=True)
        async with daemon.vms.hold("one"):
            async with daemon.vms.hold("one"):
                await daemon.run("one", "/bin/true")
            assert daemon.names() == ["one"]
            await daemon.run("one", "/bin/true")
            assert daemon.vms.show("one").state == "running"
        await daemon.until(lambda: daemon.names() == [])


@scenario
async def test_it_goes_when_nobody_comes(installation: Installation) -> None:
    async with installation.daemon(grace=0.1) as daemon:
        await daemon.create(ephemeral=True)
        await daemon.until(lambda: daemon.names() == [])
        assert installation.machine_files() == []


@scenario
async def test_it_goes_when_it_stops(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create(ephemeral=True)
        await daemon.done(await daemon.vms.stop("one", StopVm(timeout=5)))
        await daemon.until(lambda: daemon.names() == [])


@scenario
async def test_it_goes_when_its_holder_died_with_the_daemon(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create(ephemeral=True)
        holding = asyncio.create_task(_hold_for_ever(daemon.vms.hold("one")))
        await asyncio.sleep(0)
    holding.cancel()
    async with installation.daemon(grace=0.1) as daemon:
        await daemon.until(lambda: daemon.names() == [])
        assert installation.machine_files() == []


@scenario
async def test_a_command_under_way_holds_it(installation: Installation) -> None:
    async with installation.daemon(grace=0.1) as daemon:
        await daemon.create(ephemeral=True)
        command, _ = await daemon.vms.exec("one", ExecVm(argv=["/bin/cat"], stdin=True))
        await asyncio.sleep(0.3)  # longer than the grace: only the command keeps the machine
        assert daemon.vms.show("one").state == "running"
        await command.close_stdin()
        await daemon.until(lambda: daemon.names() == [])


async def _hold_for_ever(hold: object) -> None:
    async with hold:  # type: ignore[attr-defined]
        await asyncio.Event().wait()
