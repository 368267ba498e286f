"""Machines that are ended when their time has passed, also by a daemon that was away meanwhile."""

import asyncio
from pathlib import Path

import pytest

from banger import errors
from banger.api.session import StartSession
from banger.api.vm import CreateVm, KeepVm, StopVm
from tests.installation import IMAGE, MIB, Installation, scenario


@scenario
async def test_a_machine_is_stopped_when_its_time_has_passed_and_has_it_again_after_a_start(
    installation: Installation,
) -> None:
    async with installation.daemon() as daemon:
        await daemon.create(start=False, ttl=0.3)
        await asyncio.sleep(0.4)
        assert daemon.vms.show("one").expires is None, "the time counts from the start"
        for start in (1, 2):
            await daemon.done(await daemon.vms.start("one"))
            await daemon.until(lambda: daemon.vms.show("one").state == "stopped")
            await daemon.until(lambda: daemon.engine.under_way(daemon.vms.show("one").id) is None)
            ended = daemon.vms.show("one")
            assert str(ended.stop_reason).startswith("expired: "), start
            assert (ended.ttl, ended.expires) == (0.3, None)
        await daemon.done(await daemon.vms.delete("one"))


@scenario
async def test_an_ephemeral_machine_is_deleted_although_somebody_holds_it(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        operation = await daemon.vms.create(
            CreateVm(name="one", image=IMAGE, memory=256 * MIB, ephemeral=True, ttl=0.3)
        )
        await daemon.done(operation)
        async with daemon.vms.hold("one"):
            await daemon.until(lambda: daemon.names() == [])
        assert installation.machine_files() == []


@scenario
async def test_a_daemon_that_was_away_ends_what_is_overdue_and_nothing_else(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create("overdue")
        await daemon.create("kept", ttl=3600)
        await daemon.create("stays")
        kept = daemon.vms.show("kept")
        assert kept.expires is not None
        await daemon.vms.keep("overdue", KeepVm(ttl=0.2))
    await asyncio.sleep(0.3)
    async with installation.daemon() as daemon:
        await daemon.until(lambda: daemon.vms.show("overdue").state == "stopped")
        assert daemon.vms.show("kept") == kept
        assert daemon.vms.show("stays").state == "running"


@scenario
async def test_keeping(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create(ttl=100.0)
        first = daemon.vms.show("one").expires
        assert first is not None
        again = (await daemon.vms.keep("one", KeepVm())).expires
        assert again is not None and again > first
        assert (await daemon.vms.keep("one", KeepVm(forever=True))).expires is None
        with pytest.raises(errors.UsageError, match="has no time limit"):
            await daemon.vms.keep("one", KeepVm())
        for wrong in (KeepVm(ttl=0), KeepVm(ttl=-1), KeepVm(ttl=1e300), KeepVm(ttl=float("nan")),
                      KeepVm(ttl=5, forever=True)):  # fmt: skip
            with pytest.raises(errors.UsageError):
                await daemon.vms.keep("one", wrong)
        assert daemon.vms.show("one").ttl is None
        await daemon.done(await daemon.vms.stop("one", StopVm(timeout=5)))
        assert (await daemon.vms.keep("one", KeepVm(ttl=60))).expires is None
        await daemon.done(await daemon.vms.start("one"))
        assert daemon.vms.show("one").expires is not None
        deletion = await daemon.vms.delete("one")
        with pytest.raises(errors.Busy):
            await daemon.vms.keep("one", KeepVm())
        await daemon.done(deletion)


@pytest.mark.parametrize("ttl", [0, -1, 1e10, float("inf"), float("nan")])
@scenario
async def test_times_that_cannot_be(installation: Installation, ttl: float) -> None:
    async with installation.daemon() as daemon:
        with pytest.raises(errors.UsageError, match="time limit"):
            await daemon.create(ttl=ttl)


@scenario
async def test_a_machine_that_nobody_uses_is_stopped_and_a_session_is_a_use(
    installation: Installation, tmp_path: Path
) -> None:
    done = tmp_path / "done"
    waits = f"while [ ! -e {done} ]; do sleep 0.05; done"
    async with installation.daemon(auto_stop_stale_after=0.4) as daemon:
        await daemon.create()
        await daemon.vms.session_start("one", StartSession(argv=["/bin/sh", "-c", waits]))
        await asyncio.sleep(1)  # nobody is attached
        assert daemon.vms.show("one").state == "running"
        done.touch()
        await daemon.until(lambda: daemon.vms.show("one").state == "stopped")
        assert str(daemon.vms.show("one").stop_reason).startswith("unused: ")
