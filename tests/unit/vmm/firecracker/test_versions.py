"""Which Firecracker is used, and what the doctor says of it."""

import pytest

from banger.system import firecracker
from banger.vmm.firecracker import versions


def test_the_tested_release_has_one_warning_the_jailers() -> None:
    judged = versions.judge("1.12.1", "1.12.1")
    assert judged.usable
    (warning,) = judged.warnings
    assert warning.startswith("jailer 1.12.1 has CVE-2026-1386: ")
    assert "\n" not in warning


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ("1.10.0", True), ("1.13.1", True), ("1.13.2", False), ("1.14.0", True), ("1.14.1", False), ("1.15.0", False),
        ("2.0.0", False),
    ],
)  # fmt: skip
def test_an_advisory_names_its_versions(version: str, affected: bool) -> None:
    judged = versions.judge(version, version)
    assert judged.usable
    assert any("CVE-2026-1386" in each for each in judged.warnings) is affected


def test_what_is_newer_than_tested_is_used_and_told() -> None:
    assert versions.judge("1.12.9", "1.12.9").reason == "Firecracker 1.12.9"
    newer = versions.judge("1.16.1", "1.16.1")
    assert newer.reason == "Firecracker 1.16.1 (newer than what was tested, 1.12.1)"
    assert newer.warnings == ()  # nothing that installing another one would mend


def test_what_is_installed_by_default_has_no_advisory_and_says_that_it_is_newer_than_tested() -> None:
    judged = versions.judge(firecracker.DEFAULT, firecracker.DEFAULT)
    assert judged.usable and judged.warnings == ()
    assert {(firecracker.DEFAULT, each) for each in firecracker.ARCHITECTURES} <= firecracker.PINNED.keys()
    assert firecracker.notices(firecracker.DEFAULT) == ("Firecracker 1.15.1 is newer than what was tested, 1.12.1",)
    assert judged.reason == "Firecracker 1.15.1 (newer than what was tested, 1.12.1)"


def test_the_tested_release_can_be_installed_instead_and_says_what_is_weak_in_it() -> None:
    tested = versions.words(versions.NEWEST_TESTED)
    assert (tested, "x86_64") in firecracker.PINNED
    assert firecracker.notices(tested) == versions.judge(tested, tested).warnings
    assert versions.untested(versions.NEWEST_TESTED) == ""


@pytest.mark.parametrize(
    ("firecracker", "jailer", "reason"),
    [
        ("1.9.1", "1.9.1", "too old"),
        ("1.12.1", "1.12.0", "both must be of one release"),
        ("1.12.1", "no version", "both must be of one release"),
        ("1.13.0-dev", "1.13.0-dev", "is not a release"),
        ("no version", "1.12.1", "is not a release"),
    ],
)
def test_what_is_refused_says_why(firecracker: str, jailer: str, reason: str) -> None:
    judged = versions.judge(firecracker, jailer)
    assert not judged.usable
    assert reason in judged.reason


@pytest.mark.parametrize(
    "text", ["", "1", "1.2", "1.2.3.4", "v", "1.2.x", "1.2.٣", "1.2.3-rc1", "1.2.999999", "-1.2.3"]
)
def test_only_a_release_has_a_number(text: str) -> None:
    assert versions.parse(text) is None


def test_a_release_is_numbers() -> None:
    assert versions.parse("v1.12.1") == versions.parse("1.12.1") == (1, 12, 1)
