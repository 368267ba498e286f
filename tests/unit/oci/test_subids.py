"""Subordinate ids: who has them, and which are free."""

import pytest

from banger import errors
from banger.oci import subids


@pytest.mark.parametrize(
    ("lines", "enough"),
    [
        (["worker:100000:65536"], True), (["1234:100000:65536"], True), (["worker:100000:1000"], False),
        (["other:100000:65536"], False), ([], False), (["worker:x"], False), (["#"], False),
    ],
)  # fmt: skip
def test_who_has_enough(lines: list[str], enough: bool) -> None:
    assert subids.listed(lines, "worker", 1234) is enough


def test_the_next_free_range_belongs_to_nobody() -> None:
    assert subids.next_free([]) == 100_000
    assert subids.next_free(["one:100000:65536\n", "two:300000:10\n", "damaged:x:y\n"]) == 300_010


def test_the_mend_is_a_command_to_type() -> None:
    error = errors.SubordinateIdsMissing(user="worker", first=165536, last=231071)
    assert error.advice == "sudo usermod --add-subuids 165536-231071 --add-subgids 165536-231071 worker"
