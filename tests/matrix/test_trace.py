"""Every record is durable before the act that it tells of: a daemon under strace."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from banger.images import making, seeds
from banger.vms import ending
from tests.matrix import acts, listing, trace
from tests.matrix.scenario import Scenario
from tests.matrix.scenarios import by_name
from tests.matrix.trace import Act, Change, Promise
from tests.matrix.witness import IMAGE
from tests.matrix.world import World, world

PLAYED = (
    "image.import", "image.pull layers", "image.cache.prune", "image.delete", "image.register", "image.promote",
    "image.pull bundle", "kernel.import", "kernel.delete", "vm.create", "vm.set", "vm.stop", "vm.start larger",
    "vm.delete",
)  # fmt: skip


def played(driver: str, names: Sequence[str], wanted: list[Act], promises: Sequence[Promise] = ()) -> list[str]:
    """What was out of order while a daemon did all that."""
    scenarios = [by_name(each) for each in names]

    def supplies(made: World) -> None:
        for supply in dict.fromkeys(each.supplies for each in scenarios):
            supply(made)

    with world(driver, supplies) as made:
        made.directory.chmod(0o711)  # monitors that run as other users read what is registered
        log = made.directory / "trace"
        program = made.start_program(trace.command(log, [sys.executable, "-m", "banger.daemon.main"]))
        for each in scenarios:
            _play(made, each)
        changes = sorted(made.client.operation_list().operations, key=lambda each: each.started)
        made.client.daemon_stop()
        assert program.wait(60) == 0
        return trace.judge(log, [Change(each.id, each.kind) for each in changes], wanted, promises)


def _play(made: World, scenario: Scenario) -> None:
    if scenario.kind == "vm.create":  # the image is one of an older banger, whose seed is yet to be made
        image = next(each for each in made.client.image_list().images if each.name == IMAGE)
        Path(made.paths.image(image.id), seeds.NOTE).unlink()
    scenario.ready(made)
    made.done(scenario.begin(made))
    made.quiet()


def test_what_is_done_was_on_record_and_durable_before() -> None:
    assert played("fake", PLAYED, acts.ACTS, acts.PROMISES) == []


@pytest.mark.qemu
@pytest.mark.timeout(280)
def test_what_a_build_does_was_on_record_and_durable_before() -> None:
    assert played("qemu", ["image.build base"], acts.BUILT) == []


def test_every_task_has_an_act_or_a_reason_for_none() -> None:
    known = {each.task for each in (*acts.ACTS, *acts.BUILT)} | set(acts.OTHERS)
    missing = [each for each in listing.task_classes() if not any(issubclass(found, each) for found in known)]
    assert not missing, f"without an act: {sorted(each.__qualname__ for each in missing)}"
    assert not {each.task for each in (*acts.ACTS, *acts.BUILT)} & set(acts.OTHERS)


ID = "0123456789ab"
DIRECTORY = "/s/vms/00000000000000a1"
SYNC = "1  fdatasync(5</s/banger.db-wal>) = 0"
MAKE = f'1  mkdir("{DIRECTORY}", 0700) = 0'
KEEP = f'''1  fsync(7<{DIRECTORY}/handles.json.new>) = 0
1  rename("{DIRECTORY}/handles.json.new", "{DIRECTORY}/handles.json") = 0
1  fsync(7<{DIRECTORY}>) = 0
1  fsync(7</s/vms>) = 0'''
DISK = f'''1  openat(AT_FDCWD</>, "{DIRECTORY}/disk.qcow2.new", O_WRONLY|O_CREAT, 0600) = 7<{DIRECTORY}/disk.qcow2.new>
1  fsync(7<{DIRECTORY}/disk.qcow2.new>) = 0
1  rename("{DIRECTORY}/disk.qcow2.new", "{DIRECTORY}/disk.qcow2") = 0
1  fsync(7<{DIRECTORY}>) = 0'''


GROWN = f"1  fsync(7<{DIRECTORY}/disk.raw>) = 0"


def log(task: str) -> str:
    return f'1  pwrite64(5</s/banger.db-wal>, "x{ID}\\3{task}", 9, 0) = 9'


SOUND = [log("diskdoing"), SYNC, MAKE, KEEP, DISK, log("work-diskdoing"), SYNC]
LATE = DISK.rpartition("\n")


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (SOUND, ""),
        ([log("diskdoing"), MAKE, SYNC, KEEP, DISK], "before its record was durable"),
        ([log("diskdoing"), MAKE, KEEP, DISK], "before its record was durable"),
        ([log("diskplanned"), SYNC, MAKE, KEEP, DISK], "never on record"),
        ([log("diskdoing"), SYNC], "never did what it does"),
        ([log("diskdoing"), SYNC, f"{MAKE[:-1]}-1 EEXIST (File exists)"], "never did what it does"),
        ([log("diskdoing"), SYNC, MAKE, DISK, KEEP], "second record"),
        ([log("diskdoing"), SYNC, MAKE, KEEP.rpartition("\n")[0], DISK], "second record"),
        ([log("diskdoing"), SYNC, MAKE, KEEP, DISK.replace("fsync(7</s/vms/00000000000000a1/d", "close(7</x/d")],
         "renamed before it was durable"),
        ([log("diskdoing"), SYNC, MAKE, KEEP, LATE[0], log("work-diskdoing"), LATE[2]], "when its change went on"),
        ([log("diskdoing"), SYNC, MAKE, KEEP, LATE[0], log("work-diskdoing")], "when its change went on"),
    ],
)  # fmt: skip
def test_the_judge_sees_a_wrong_order(tmp_path: Path, lines: list[str], fault: str) -> None:
    (tmp_path / "trace").write_text("\n".join(lines) + "\n")
    act = Act(making.Fetch, "vm.create", "disk", ("mkdir",), "/s/vms/")
    found = trace.judge(tmp_path / "trace", [Change(ID, "vm.create")], [act])
    assert any(fault in each for each in found) if fault else found == []


@pytest.mark.parametrize(("lines", "kept"), [([GROWN, log("shapedone")], True), ([log("shapedone"), GROWN], False)])
def test_the_judge_sees_a_promise_that_is_not_kept(tmp_path: Path, lines: list[str], kept: bool) -> None:
    (tmp_path / "trace").write_text("\n".join([log("shapedoing"), SYNC, *lines]) + "\n")
    promise = Promise("vm.start", "shape", "disk.raw")
    assert (trace.judge(tmp_path / "trace", [Change(ID, "vm.start")], [], [promise]) == []) is kept


def test_a_sync_that_began_before_the_record_is_not_its_own(tmp_path: Path) -> None:
    begun, ended = "2  fdatasync(5</s/banger.db-wal> <unfinished ...>", "2  <... fdatasync resumed>) = 0"
    (tmp_path / "trace").write_text("\n".join([begun, log("diskdoing"), ended, MAKE]) + "\n")
    act = Act(ending.RemoveFiles, "vm.create", "disk", ("mkdir",), "/s/vms/")
    (fault,) = trace.judge(tmp_path / "trace", [Change(ID, "vm.create")], [act])
    assert "before its record was durable" in fault
