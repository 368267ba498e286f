"""Builds on a base image: what they leave, what they share, and what is left when they fail or their daemon dies."""

import asyncio
import contextlib
import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from banger import errors
from banger.api.operation import Operation
from banger.api.recipe import BuildImage, RecipeConfig, RecipeFile
from banger.api.vm import ExecVm, StopVm
from tests.installation import IMAGE, Daemon, scenario
from tests.integration.builds.conftest import SIZE, Rig

FILE = RecipeFile(path="/srv/deep/greeting", content=b"hello\n", mode=0o640, owner="worker")
ENV = RecipeConfig(env={"GREETING": "it's a $HOME"}, cwd="/srv")
WAIT = "echo begun; while [ ! -e /tmp/go ]; do sleep 0.05; done"


async def begin(daemon: Daemon, **fields: object) -> Operation:
    fields = {"name": "built", "base": IMAGE, "size": SIZE, **fields}
    return await daemon.builds.build(BuildImage(**fields))  # type: ignore[arg-type]


async def until_says(daemon: Daemon, operation: Operation, text: str) -> None:
    async for state in daemon.engine.follow(operation.id):
        if text in state.stage:
            return
    raise AssertionError(f"{text!r} was never said: {state.error}")


@scenario
async def test_a_recipe_is_carried_out_in_order_and_nothing_but_the_image_stays(rig: Rig) -> None:
    commands = ["cat deep/greeting srv/deep/greeting >/out 2>&1 || true", 'echo "$GREETING" >>/out; id -u >>/out', ":"]
    async with rig.daemon() as daemon:
        record = await rig.build(daemon, commands=commands, files=[FILE], config=ENV)
        image = daemon.images.show("built")
        assert (image.kind, image.source, image.init, image.size) == ("build", f"build:{IMAGE}", None, SIZE)
        assert image.config.env == ["GREETING=it's a $HOME"] and image.config.cwd == "/srv"
        done = [f"built on {IMAGE}", f"file {FILE.path}", *(f"run {each}" for each in commands)]
        assert [each.text for each in image.steps][-len(done) :] == done
        assert daemon.vms.list() == [] and rig.left() == [record.id]
        assert os.stat(image.rootfs).st_mode & 0o777 == 0o644
        assert sorted(os.listdir(os.path.dirname(image.rootfs))) == [
            "image.json",
            "rootfs.ext4",
            "work-seed.ext4",
            "work-seed.json",
        ]
        await daemon.done(await daemon.images.delete(IMAGE))  # it is held no more
    assert (rig.guest / "out").read_text() == "cat: can't open 'deep/greeting': No such file or directory\n" + (
        "hello\nit's a $HOME\n0\n"
    )
    status = os.stat(rig.guest / "srv/deep/greeting")
    assert status.st_mode & 0o7777 == 0o640 and status.st_uid != os.stat(rig.guest / "out").st_uid
    said = (Path(rig.paths.builds) / "built.log").read_text()
    assert said.index("== command 1 of 3") < said.index("== command 2 of 3") < said.index("== cleaning up")
    check = ["/sbin/e2fsck", "-fn", image.rootfs]
    subprocess.run(check, check=True, capture_output=True)  # noqa: ASYNC221


@scenario
async def test_the_machine_of_a_build_is_nobody_elses_and_holds_the_base(rig: Rig) -> None:
    async with rig.daemon() as daemon:
        operation = await begin(daemon, commands=[WAIT])
        await until_says(daemon, operation, "begun")
        (machine,) = daemon.vms.list()
        assert machine.name.startswith("build-") and machine.image == IMAGE and machine.operation == operation.id
        with pytest.raises(errors.InUse, match=machine.name):
            await daemon.images.delete(IMAGE)
        for refused in (
            daemon.vms.stop(machine.id, StopVm()),
            daemon.vms.kill(machine.id),
            daemon.vms.delete(machine.id),
            daemon.vms.restart(machine.id, StopVm()),
            daemon.vms.exec(machine.id, ExecVm(argv=["true"])),
        ):
            with pytest.raises(errors.Busy, match=r"image\.build"):
                await refused
        with pytest.raises(errors.Busy):
            await begin(daemon)
        (rig.guest / "tmp/go").touch()
        await daemon.done(operation)
        assert daemon.names() == []


@scenario
async def test_what_was_built_alike_is_shared_and_force_builds_anew(rig: Rig) -> None:
    recipe = {"commands": ["echo x >>/count"], "files": [FILE], "description": "one"}
    async with rig.daemon() as daemon:
        first = await rig.build(daemon, "first", **recipe)
        operation = await begin(daemon, name="second", **{**recipe, "description": "two"})
        ended = await daemon.done(operation)
        assert any("first was built alike" in each for each in ended.notices)
        second = daemon.images.find("second")
        assert os.path.samefile(daemon.images.rootfs(first), daemon.images.rootfs(second))
        assert second.id != first.id and f"built on {IMAGE}: two" in [each.text for each in second.steps]
        ended = await daemon.done(await begin(daemon, name="second", **recipe))
        assert any("here already" in each for each in ended.notices) and daemon.images.find("second") == second
        with pytest.raises(errors.AlreadyExists, match="second"):
            await begin(daemon, name="second", commands=["echo x >>/count", ":"])
        changed = RecipeFile(path=FILE.path, content=b"other\n", mode=FILE.mode, owner=FILE.owner)
        third = await rig.build(daemon, "third", **{**recipe, "files": [changed]})
        assert not os.path.samefile(daemon.images.rootfs(first), daemon.images.rootfs(third))
        assert (rig.guest / "count").read_text() == "x\n" * 2
        forced = await rig.build(daemon, "second", force=True, **recipe)
        assert (rig.guest / "count").read_text() == "x\n" * 3 and forced.id != second.id
        top = await rig.build(daemon, "top", base="second", config=RecipeConfig(cmd=["true"]))
        assert [each.text for each in top.steps if each.text.startswith("built")] == [
            f"built on {IMAGE}: one",
            "built on second",
        ] and top.config.cmd == ["true"]


@scenario
async def test_a_failing_command_is_named_quoted_and_undone(rig: Rig) -> None:
    async with rig.daemon() as daemon:
        operation = await begin(
            daemon, commands=["echo fine", "for i in $(seq 30); do echo line $i; done\nexit 7", ":"]
        )
        with pytest.raises(
            errors.BuildFailed, match=r"building built failed: command 2 of 3: for i .*status 7"
        ) as failed:
            await daemon.done(operation)
        assert rig.paths.builds in failed.value.advice
        assert daemon.engine.operation(operation.id).notices == [f"| line {number}" for number in range(19, 31)]
        assert daemon.vms.list() == [] and rig.left() == [] and not (rig.guest / "count").exists()
        with pytest.raises(errors.BuildFailed, match="package tools"):
            await rig.build(daemon, packages=["tree"])
        assert rig.left() == []


@scenario
async def test_a_machine_that_is_lost_and_a_build_that_is_cancelled_leave_nothing(rig: Rig) -> None:
    async with rig.daemon() as daemon:
        operation = await begin(daemon, commands=[WAIT])
        await until_says(daemon, operation, "begun")
        (machine,) = daemon.vms.list()
        assert machine.pid is not None
        os.kill(machine.pid, 9)
        with pytest.raises(errors.BuildFailed, match="the machine was lost"):
            await daemon.done(operation)
        assert daemon.vms.list() == [] and rig.left() == []
        operation = await begin(daemon, commands=[WAIT])
        await until_says(daemon, operation, "begun")
        daemon.engine.cancel(operation.id)
        with pytest.raises(errors.Cancelled):
            await daemon.done(operation)
        assert daemon.vms.list() == [] and rig.left() == []


STEPS = [
    *("stage", "machine-reserve", "machine-image", "base", "look-up"),
    *("machine-kernel", "machine-disk", "machine-initrd", "machine-monitor", "machine-agent"),
    *("packages", "recipe-files", "commands", "clean", "machine-power-off", "machine-switch-off"),
    *("flatten", "machine-files", "machine-row", "build", "seed", "publish", "row"),
]


@pytest.mark.timeout(300)
@scenario
async def test_a_daemon_that_dies_at_any_step_leaves_nothing(rig: Rig) -> None:
    reached = []
    for step in STEPS:
        async with rig.daemon() as daemon:
            operation = await begin(daemon, commands=[":"], files=[FILE])
            async for state in daemon.engine.follow(operation.id):
                if state.step == step:
                    reached.append(step)
                    break
        async with rig.daemon() as daemon:
            assert daemon.vms.list() == [] and rig.left() == [], step
            assert daemon.engine.operation(operation.id).state == "failed", step
            assert [each.name for each in daemon.images.list()] == [IMAGE], step
    assert reached == STEPS
    async with rig.daemon() as daemon:
        ended = await daemon.done(await begin(daemon, commands=[":"]))
        names = [phase.name for phase in ended.phases]
        assert [each for each in names if each in STEPS] == STEPS and set(names) <= {"begin", *STEPS}


@scenario
async def test_a_worker_whose_change_is_gone_is_removed(rig: Rig) -> None:
    async with rig.daemon() as daemon:
        operation = await begin(daemon, commands=[WAIT])
        await until_says(daemon, operation, "begun")
    with contextlib.closing(sqlite3.connect(rig.paths.database)) as store:
        store.execute("DELETE FROM operations")
        store.commit()
    async with rig.daemon() as daemon:
        await daemon.until(lambda: daemon.vms.list() == [])
        assert rig.left() == []


@scenario
async def test_what_cannot_be_built_begins_nothing(rig: Rig) -> None:
    async with rig.daemon() as daemon:
        for fields, error in (
            ({"base": "Not A Reference"}, errors.InvalidReference),
            ({"name": "Not OK"}, errors.InvalidName),
            ({"name": IMAGE}, errors.AlreadyExists),
            ({"name": "absent", "base": "absent"}, errors.UsageError),
            ({"size": 1 << 20}, errors.BangerError),
            ({"suite": "bookworm"}, errors.UsageError),
            ({"mirror": "http://mirror/"}, errors.UsageError),
        ):
            with pytest.raises(error):
                await begin(daemon, **fields)
        await asyncio.sleep(0)
        assert daemon.engine.operations()[:-1] == [] and rig.left() == []
