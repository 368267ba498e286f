"""The doctor's rows on hosts that have and lack things."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from banger import errors
from banger.admission.ledger import Admission
from banger.api.daemon import Check, Leftover
from banger.api.vm import Vm
from banger.config.settings import build
from banger.daemon.doctor import ROWS, Doctor
from banger.paths import Paths
from banger.vmm.driver import Availability, Features
from banger.vmm.drivers import Drivers


class Monitor:
    """As much of a driver as the doctor asks."""

    name = "qemu"

    def __init__(self, *, usable: bool, accelerated: bool) -> None:
        self._answer = Availability(
            usable=usable,
            reason="it was looked at",
            mend="" if usable else "sudo mend it",
            features=Features(accelerated=accelerated, user_networking=True, vsock=False, snapshot=False, jail=False),
        )
        self.asked = 0

    async def availability(self) -> Availability:
        self.asked += 1
        return self._answer


class Nouns:
    """A service that has these names. Of images, the catalog has ``listed``, and these can have no work seed."""

    def __init__(self, *names: str, listed: Sequence[str] = ("debian-bookworm",), **faults: str) -> None:
        self._found = [SimpleNamespace(name=name, release="6.1") for name in names]
        self._listed = [SimpleNamespace(name=name) for name in listed]
        self._faults = faults

    def list(self) -> list[Any]:
        return self._found

    def catalog(self) -> Any:
        return SimpleNamespace(entries=self._listed)

    async def seed_faults(self) -> dict[str, str]:
        return self._faults


class Names:
    """A DNS server that has said this."""

    async def row(self) -> tuple[str, str, str]:
        return "warn", "names are not routed", "there are recipes"

    async def rules(self) -> tuple[str, str, str]:
        return "pass", "they stand", ""


class Left:
    """What is left over, until it is cleared away."""

    def __init__(self, *left: Leftover) -> None:
        self.left = list(left)

    async def found(self) -> list[Leftover]:
        return self.left

    async def clear(self) -> list[Leftover]:
        cleared, self.left = self.left, []
        return cleared


class Running:
    """No machine runs."""

    def __init__(self, leftovers: Left) -> None:
        self.leftovers = leftovers

    def list(self) -> list[Vm]:
        return []


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    for name in ("state", "runtime"):
        (tmp_path / name).mkdir(mode=0o700)
    return Paths(*(str(tmp_path / name) for name in ("config", "state", "cache", "runtime")))


def doctor_of(paths: Paths, monitor: Monitor, images: Nouns, kernels: Nouns, left: Left) -> Doctor:
    drivers = Drivers(paths.probe_cache)
    drivers.use(monitor)  # type: ignore[arg-type]
    settings = build({"disk_reserve": 0})
    admission = Admission(paths.state, settings, lambda subject: False)
    return Doctor(paths, settings, drivers, images, kernels, Names(), Running(left), admission)  # type: ignore[arg-type]


def examine(
    paths: Paths,
    monitor: Monitor,
    images: Nouns,
    kernels: Nouns,
    left: Left = Left(),  # noqa: B008 - nothing
) -> dict[str, Check]:
    report = asyncio.run(doctor_of(paths, monitor, images, kernels, left).report())
    assert [check.name for check in report.checks] == [*ROWS, "system installation"]
    assert all(bool(check.mend) == (check.status != "pass") for check in report.checks), "what is wrong has a mend"
    return {check.name: check for check in report.checks}


def test_a_host_without_virtualisation_is_told_that_it_isolates_nothing(paths: Paths) -> None:
    monitor = Monitor(usable=True, accelerated=False)
    rows = examine(paths, monitor, Nouns("debian-bookworm"), Nouns("debian-cloud"))
    assert rows["monitor"].status == "pass"
    assert rows["isolation"].status == "warn"
    assert "no security boundary" in rows["isolation"].detail
    assert rows["default image"].status == rows["kernel"].status == "pass"
    assert monitor.asked == 1
    accelerated = examine(paths, Monitor(usable=True, accelerated=True), Nouns(), Nouns())
    assert accelerated["isolation"].status == "pass"


def test_what_is_not_there_yet_is_a_warning_with_the_command_that_brings_it(paths: Paths) -> None:
    rows = examine(paths, Monitor(usable=True, accelerated=True), Nouns(listed=()), Nouns())
    assert rows["default image"].status == "warn"
    assert rows["default image"].mend.startswith("banger image pull debian-bookworm")
    assert (rows["kernel"].status, rows["kernel"].mend) == ("warn", "banger kernel pull")


def test_the_default_image_may_be_in_a_catalog(paths: Paths) -> None:
    rows = examine(paths, Monitor(usable=True, accelerated=True), Nouns("other"), Nouns())
    assert rows["default image"].status == "pass"
    assert "debian-bookworm is in a catalog" in rows["default image"].detail


def test_an_image_that_can_have_no_work_seed_is_told_with_the_reason(paths: Paths) -> None:
    rows = examine(paths, Monitor(usable=True, accelerated=True), Nouns(web="its /root is no directory"), Nouns())
    assert rows["work seeds"].status == "warn"
    assert "web: its /root is no directory" in rows["work seeds"].detail


def test_missing_tools_are_named_with_their_packages(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(tool: str) -> str:
        raise errors.ToolMissing(tool=tool, package=f"{tool}-package")

    monkeypatch.setattr("banger.proc.find", find)
    rows = examine(paths, Monitor(usable=False, accelerated=False), Nouns(), Nouns())
    assert (rows["monitor"].status, rows["monitor"].mend) == ("fail", "sudo mend it")
    assert (rows["skopeo"].status, rows["skopeo"].mend) == ("warn", "sudo apt-get install skopeo-package")
    assert rows["debugfs"].status == "fail"


def test_directories_that_others_can_enter_are_a_failure_with_its_mend(paths: Paths) -> None:
    os.chmod(paths.runtime, 0o755)  # noqa: S103
    rows = examine(paths, Monitor(usable=True, accelerated=True), Nouns(), Nouns())
    assert (rows["runtime directory"].status, rows["runtime directory"].mend) == (
        "fail",
        f"chmod go-rwx {paths.runtime}",
    )
    assert rows["state directory"].status == "pass"
    os.rmdir(paths.runtime)
    rows = examine(paths, Monitor(usable=True, accelerated=True), Nouns(), Nouns())
    assert rows["runtime directory"].status == "fail"
    assert len(rows) == len(ROWS) + 1


def test_what_is_left_over_is_named_with_reasons_and_the_first_few_alone(paths: Paths) -> None:
    stray = Leftover(kind="process", name="77", reason="nobody knows it", remedy="end")
    rows = examine(paths, Monitor(usable=True, accelerated=True), Nouns(), Nouns(), Left(*[stray] * 7))
    row = rows["left over"]
    assert (row.status, row.mend) == ("warn", "banger doctor --fix")
    assert row.detail.count("process 77: nobody knows it") == 5 and row.detail.endswith("2 more")
    image = Leftover(kind="image", name="/images/1", reason="no record", remedy="")
    rows = examine(paths, Monitor(usable=True, accelerated=True), Nouns(), Nouns(), Left(image))
    assert rows["left over"].mend == "look at it: /images/1"


def test_to_fix_is_to_clear_and_then_to_look(paths: Paths) -> None:
    stray = Leftover(kind="process", name="77", reason="nobody knows it", remedy="end")
    doctor = doctor_of(paths, Monitor(usable=True, accelerated=True), Nouns(), Nouns(), Left(stray))
    report = asyncio.run(doctor.fix())
    assert report.fixed == [stray]
    assert {each.name: each.status for each in report.checks}["left over"] == "pass"


def test_looking_changes_nothing(paths: Paths) -> None:
    before = {each: each.stat().st_mtime_ns for each in Path(paths.state).parent.rglob("*")}
    examine(paths, Monitor(usable=True, accelerated=True), Nouns(), Nouns())
    assert {each: each.stat().st_mtime_ns for each in Path(paths.state).parent.rglob("*")} == before
