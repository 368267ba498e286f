"""References against one list: the daemon's own rules."""

import pytest

from banger import errors
from banger.cli.targets import identities, resolve
from banger.sdk.client import Client

KNOWN = [
    {"name": "web", "id": "aa11"},
    {"name": "db", "id": "aa22"},
    {"name": "aa22", "id": "bb33"},
]


@pytest.mark.parametrize(
    ("reference", "found"), [("web", "aa11"), ("aa11", "aa11"), ("bb", "bb33"), ("aa22", "bb33"), ("aa1", "aa11")]
)
def test_a_name_an_id_or_its_beginning(reference: str, found: str) -> None:
    assert resolve(reference, KNOWN) == found


@pytest.mark.parametrize("reference", ["", "b", "we", "\x1b[2J", "aa111"])
def test_what_names_nothing(reference: str) -> None:
    with pytest.raises(errors.NotFound):
        resolve(reference, KNOWN)


def test_a_reference_that_is_alone_is_looked_up_by_nobody() -> None:
    assert identities(Client("/nowhere"), ["we"])("we") == "we"


def test_what_names_several() -> None:
    with pytest.raises(errors.Ambiguous, match=r"web \(aa11\), db \(aa22\)"):
        resolve("aa", KNOWN)
