"""Machines through their states, with a process in the guest's place and the real agent in it."""

import asyncio
import os
from pathlib import Path

import pytest

from banger import errors
from banger.api.image import ImportImage
from banger.api.operation import Operation
from banger.api.vm import CreateVm, ExecVm, StopVm
from banger.bootstrap import guest
from banger.kernels import kernel
from banger.kernels.service import DISTRIBUTION
from banger.store.database import Database
from banger.store.records import Records
from banger.vms.record import VmRecord
from tests.guest_images import Tar
from tests.installation import IMAGE, MIB, Daemon, Installation, agent, scenario

REFUSED = [
    ({"name": "Upper"}, errors.InvalidName),
    ({"name": "-dash"}, errors.InvalidName),
    ({"name": "x" * 64}, errors.InvalidName),
    ({"name": ""}, errors.InvalidName),
    ({"vcpu": 0}, errors.UsageError),
    ({"vcpu": 1000}, errors.UsageError),
    ({"memory": 1 << 20}, errors.UsageError),
    ({"memory": 1 << 60}, errors.UsageError),
    ({"disk_size": 1}, errors.UsageError),
    ({"disk_size": 1 << 60}, errors.UsageError),
    ({"env": {"A=B": "c"}}, errors.UsageError),
    ({"env": {"A": "b\0c"}}, errors.UsageError),
    ({"env": {"A": "x" * (1 << 20)}}, errors.UsageError),
    ({"labels": {"a b": ""}}, errors.UsageError),
    ({"labels": {"a": "\x1b[2J"}}, errors.UsageError),
    ({"image": "Not A Reference"}, errors.InvalidReference),
    ({"kernel": "absent"}, errors.NotFound),
    ({"kernel": "../kernels"}, errors.NotFound),
    ({"ephemeral": True, "start": False}, errors.UsageError),
]


@scenario
async def test_a_start_brings_the_assets_of_today_to_a_root_that_has_others(
    installation: Installation, tmp_path: Path
) -> None:
    newer = tmp_path / "newer-agent"
    newer.write_bytes(Path(agent()).read_bytes() + b"newer")

    def brought(daemon: Daemon) -> bool:
        initrd = Path(installation.paths.vm(daemon.vms.show("one").id), "initrd.cpio").read_bytes()
        return b"banger/assets/usr/local/bin/banger-agent" in initrd

    async with installation.daemon() as daemon:
        await daemon.create()
        assert not brought(daemon), "the image has them"
        daemon.images.agent = str(newer)
        installation.answer("/bin/sh -c 'kill -9 $PPID'")
        with pytest.raises(errors.VmmFailed):
            await daemon.done(await daemon.vms.restart("one", StopVm(timeout=5)))
        assert brought(daemon)
        installation.answer()
        await daemon.done(await daemon.vms.start("one"))
        assert brought(daemon), "nobody knows how far the first attempt came"
        await daemon.done(await daemon.vms.restart("one", StopVm(timeout=5)))
        assert not brought(daemon), "its root has them by now"
        await daemon.done(await daemon.vms.delete("one"))


@scenario
async def test_a_machine_goes_through_its_states(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        created = await daemon.create()
        assert [each.name for each in created.phases] == [
            "reserve", "image", "kernel", "disk", "work-disk", "initrd", "monitor", "agent",
        ]  # fmt: skip
        machine = daemon.vms.show("one")
        assert (machine.state, machine.image, machine.kernel) == ("running", IMAGE, "debian-cloud")
        assert machine.pid is not None and machine.started is not None
        assert created.subject_id == machine.id and daemon.vms.show(machine.id[:6]) == machine

        await daemon.done(await daemon.vms.kill("one"))
        killed = daemon.vms.show("one")
        assert (killed.state, killed.stop_reason, killed.pid) == ("stopped", "killed", None)

        await daemon.done(await daemon.vms.start("one"))
        first = daemon.vms.show("one")
        await daemon.done(await daemon.vms.restart("one", StopVm(timeout=5)))
        second = daemon.vms.show("one")
        assert first.state == second.state == "running" and first.pid != second.pid

        await daemon.done(await daemon.vms.delete("one"))
        assert daemon.vms.list() == [] and installation.machine_files() == []


@scenario
async def test_a_machine_can_be_made_without_being_started(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create(start=False)
        assert daemon.vms.show("one").state == "created"
        with pytest.raises(errors.WrongState):
            await daemon.vms.exec("one", ExecVm(argv=["true"]))
        await daemon.done(await daemon.vms.start("one"))
        await daemon.done(await daemon.vms.delete("one"))


@scenario
async def test_a_machine_that_is_as_it_shall_be_is_left_alone(installation: Installation) -> None:
    async with installation.daemon() as daemon:

        async def told(operation: Operation) -> list[str]:
            return (await daemon.done(operation)).notices

        await daemon.create(start=False)
        assert await told(await daemon.vms.stop("one", StopVm())) == ["one was never started"]
        assert await told(await daemon.vms.start("one")) == []
        running = daemon.vms.show("one")
        assert await told(await daemon.vms.start("one")) == ["one runs already"]
        assert daemon.vms.show("one") == running
        assert await told(await daemon.vms.kill("one")) == []
        stopped = daemon.vms.show("one")
        assert await told(await daemon.vms.stop("one", StopVm())) == ["one is stopped already"]
        assert await told(await daemon.vms.kill("one")) == ["one is stopped already"]
        assert daemon.vms.show("one") == stopped
        with pytest.raises(errors.UsageError):
            await daemon.vms.stop("one", StopVm(timeout=-1))


@scenario
async def test_only_a_machine_at_rest_is_pruned(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create()
        with pytest.raises(errors.WrongState):
            await daemon.vms.delete("one", at_rest=True)
        assert daemon.vms.show("one").state == "running"
        await daemon.done(await daemon.vms.kill("one"))
        start = await daemon.vms.start("one")
        with pytest.raises(errors.Busy):
            await daemon.vms.delete("one", at_rest=True)
        await daemon.done(start)
        await daemon.done(await daemon.vms.kill("one"))
        await daemon.done(await daemon.vms.delete("one", at_rest=True))
        assert daemon.names() == []


@scenario
async def test_who_asks_for_what_is_under_way_joins_it(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create(start=False)
        starts = [await daemon.vms.start("one") for _ in range(3)]
        with pytest.raises(errors.Busy):
            await daemon.vms.stop("one", StopVm())
        assert len({each.id for each in starts}) == 1
        await daemon.done(starts[0])
        stops = [await daemon.vms.stop("one", StopVm(timeout=5)), await daemon.vms.stop("one", StopVm(timeout=50))]
        with pytest.raises(errors.Busy):
            await daemon.vms.start("one")
        assert len({each.id for each in [*stops, await daemon.vms.kill("one")]}) == 1
        await daemon.done(stops[0])
        deletions = [await daemon.vms.delete("one") for _ in range(2)]
        assert len({each.id for each in deletions}) == 1
        await daemon.done(deletions[0])


@pytest.mark.parametrize(("fields", "error"), REFUSED, ids=lambda each: str(each)[:30])
@scenario
async def test_a_bad_request_makes_nothing(
    installation: Installation, fields: dict[str, object], error: type[errors.BangerError]
) -> None:
    async with installation.daemon() as daemon:
        with pytest.raises(error):
            await daemon.create(**{"name": "one", **fields})  # type: ignore[arg-type]
        assert daemon.vms.list() == [] and installation.machine_files() == []
        assert [each.kind for each in daemon.engine.operations()] == ["image.import"]


@pytest.mark.parametrize(
    ("path", "mode", "told"),
    [
        (None, 0, [guest.NO_MISE]),
        ("usr/local/bin/mise", 0o755, []),
        ("root/.local/bin/mise", 0o755, []),
        ("usr/local/bin/mise", 0o644, [guest.NO_MISE]),
        ("etc/mise", 0o755, [guest.NO_MISE]),
    ],
)
@scenario
async def test_an_image_without_mise_is_told_of_before_the_machine_is_made(
    installation: Installation, tmp_path: Path, path: str | None, mode: int, told: list[str]
) -> None:
    tar = Tar().directory("etc").directory("root").directory("root/.local").directory("root/.local/bin")
    tar.directory("usr").directory("usr/local").directory("usr/local/bin")
    if path is not None:
        tar.file(path, b"#!/bin/sh\n", mode)
    (tmp_path / "image.tar").write_bytes(tar.bytes())
    async with installation.daemon() as daemon:
        wanted = ImportImage(path=str(tmp_path / "image.tar"), name="tools", size=64 * MIB)
        await daemon.done(await daemon.images.import_archive(wanted))
        made = await daemon.create("one", image="tools", tools=True, start=False)
        assert made.notices == told
        assert (await daemon.create("two", image="tools", start=False)).notices == []
        os.remove(installation.paths.kernel(DISTRIBUTION) + "/" + kernel.RECORD)
        with pytest.raises(errors.BangerError):
            await daemon.create("three", image="tools", tools=True)
        assert daemon.engine.operations()[0].notices == told


@scenario
async def test_a_disk_smaller_than_its_image_is_refused(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        size = daemon.images.find(IMAGE).size
        await daemon.create("fits", disk_size=size, start=False)
        with pytest.raises(errors.UsageError):
            await daemon.create("one", disk_size=size // 2)
        await daemon.done(await daemon.vms.delete("fits"))


@scenario
async def test_of_twenty_creates_of_one_name_one_wins(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        results = await asyncio.gather(*(daemon.create(start=False) for _ in range(20)), return_exceptions=True)
        losers = [each for each in results if isinstance(each, BaseException)]
        assert len(losers) == 19 and all(isinstance(each, errors.AlreadyExists) for each in losers), results
        assert daemon.names() == ["one"]
        assert installation.machine_files() == [installation.paths.vm(daemon.vms.show("one").id)]


@scenario
async def test_machines_are_found_by_their_labels(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create("one", labels={"run": "7", "owner": "alice"}, start=False)
        await daemon.create("two", labels={"run": "8"}, start=False)
        await daemon.create("three", start=False)
    async with installation.daemon() as daemon:
        assert [each.name for each in daemon.vms.list(["run"])] == ["one", "two"]
        assert [each.name for each in daemon.vms.list(["run=7", "owner"])] == ["one"]
        assert daemon.vms.list(["run=9"]) == []
        assert daemon.vms.show("one").labels == {"run": "7", "owner": "alice"}


@scenario
async def test_machines_made_at_once_share_neither_names_nor_users(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        requests = [CreateVm(image=IMAGE, memory=256 * MIB, start=False) for _ in range(10)]
        operations = await asyncio.gather(*(daemon.vms.create(each) for each in requests))
        await asyncio.gather(*(daemon.done(each) for each in operations))
        assert len(set(daemon.names())) == 10
    database = Database(installation.paths.database)
    assert sorted(each.slot for each in Records(database, "vms", VmRecord).list()) == list(range(10))
    database.close()


@scenario
async def test_a_silent_guest_keeps_its_machine_to_look_at(installation: Installation) -> None:
    installation.answer("/bin/cat")
    async with installation.daemon(boot_timeout=1.0) as daemon:
        with pytest.raises(errors.GuestSilent) as silent:
            await daemon.create()
        assert "banger vm logs one" in silent.value.advice
        machine = daemon.vms.show("one")
        assert machine.state == "error" and machine.pid is None and machine.error is not None
        console = b"".join([piece async for piece in daemon.vms.logs("one")])
        assert b"banger.hostname=one" in console
        installation.answer()
        await daemon.done(await daemon.vms.start("one"))
        assert daemon.vms.show("one").state == "running" and daemon.vms.show("one").error is None


@scenario
async def test_a_silent_guest_takes_an_ephemeral_machine_with_it(installation: Installation) -> None:
    installation.answer("/bin/cat")
    async with installation.daemon(boot_timeout=1.0) as daemon:
        operation = await daemon.vms.create(CreateVm(name="one", image=IMAGE, ephemeral=True))
        with pytest.raises(errors.GuestSilent) as silent:
            await daemon.done(operation)
        assert "vm logs" not in silent.value.advice
        notices = daemon.engine.operation(operation.id).notices
        assert any("banger.hostname=one" in each for each in notices), notices
        assert daemon.vms.list() == [] and installation.machine_files() == []


@scenario
async def test_a_machine_that_dies_while_it_boots_is_told_apart_from_a_silent_one(installation: Installation) -> None:
    installation.answer("/bin/sh -c 'kill -9 $PPID'")
    async with installation.daemon() as daemon:
        with pytest.raises(errors.VmmFailed, match="before its agent answered"):
            await daemon.create()
        assert daemon.vms.show("one").state == "error"


@scenario
async def test_the_death_of_the_monitor_is_noticed(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create()
        pid = daemon.vms.show("one").pid
        assert pid is not None
        os.kill(pid, 9)
        await daemon.until(lambda: daemon.vms.show("one").state == "stopped")
        assert daemon.vms.show("one").stop_reason == "killed"
        assert not os.path.exists(installation.paths.vm_runtime(daemon.vms.show("one").id))
        with pytest.raises(errors.WrongState):
            await daemon.vms.health("one")


@scenario
async def test_cancelling_a_create_undoes_it(installation: Installation) -> None:
    installation.answer("/bin/cat")
    async with installation.daemon() as daemon:
        operation = await daemon.vms.create(CreateVm(name="one", image=IMAGE))
        await daemon.until(lambda: daemon.engine.operation(operation.id).stage == "waiting for the guest")
        with pytest.raises(errors.Busy):
            await daemon.vms.delete("one")
        daemon.engine.cancel(operation.id)
        with pytest.raises(errors.Cancelled):
            await daemon.done(operation)
        assert daemon.vms.list() == [] and installation.machine_files() == []


@scenario
async def test_kill_hurries_a_stop_that_waits_for_the_guest(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create()
        frozen = _freeze_agent(daemon, "one")
        stop = await daemon.vms.stop("one", StopVm(timeout=600))
        await daemon.until(lambda: daemon.engine.operation(stop.id).stage == "waiting for the guest to power off")
        assert (await daemon.vms.kill("one")).id == stop.id
        await daemon.done(stop)
        assert daemon.vms.show("one").stop_reason == "killed"
        os.kill(frozen, 9)


@scenario
async def test_kill_hurries_a_stop_that_has_only_been_asked_for_and_none_that_comes_later(
    installation: Installation,
) -> None:
    async with installation.daemon() as daemon:
        await daemon.create()
        frozen = _freeze_agent(daemon, "one")
        stop = await daemon.vms.stop("one", StopVm(timeout=600))
        assert (await daemon.vms.kill("one")).id == stop.id, "it has done nothing yet"
        await daemon.done(stop)
        assert daemon.vms.show("one").stop_reason == "killed"
        os.kill(frozen, 9)
        await daemon.done(await daemon.vms.start("one"))
        frozen = _freeze_agent(daemon, "one")
        later = await daemon.done(await daemon.vms.stop("one", StopVm(timeout=0.2)))
        assert any("did not power off" in each for each in later.notices)
        os.kill(frozen, 9)


@scenario
async def test_a_stop_that_the_guest_does_not_follow_ends_with_the_switch(installation: Installation) -> None:
    async with installation.daemon() as daemon:
        await daemon.create()
        frozen = _freeze_agent(daemon, "one")
        stop = await daemon.done(await daemon.vms.stop("one", StopVm(timeout=0.2)))
        assert daemon.vms.show("one").state == "stopped"
        assert any("was switched off" in each for each in stop.notices)
        os.kill(frozen, 9)


def _freeze_agent(daemon: Daemon, name: str) -> int:
    """Stop the agent's process, which is the only child of the machine's."""
    pid = daemon.vms.show(name).pid
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        agent = int(file.read().split()[0])
    os.kill(agent, 19)
    return agent
