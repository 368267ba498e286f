"""Labels: what they may be, and what finds them."""

import pytest

from banger import errors
from banger.vms import labels


@pytest.mark.parametrize(
    "good", [{}, {"a": ""}, {"run": "7"}, {"example.org/who_is-it": "a = b, \u00e9"}, {"k" * 63: "v" * 256}]
)
def test_labels_that_are_taken(good: dict[str, str]) -> None:
    assert labels.check(good) == good


@pytest.mark.parametrize(
    "bad",
    [
        {"": "v"},
        {"-a": "v"},
        {"a-": "v"},
        {"a b": "v"},
        {"a=b": "v"},
        {"k" * 64: "v"},
        {"a\n": "v"},
        {"\x1b[2J": "v"},
        {"a": "\x1b[2J"},
        {"a": "b\nc"},
        {"a": "b\0"},
        {"a": "\u202e"},
        {"a": "v" * 257},
        {str(number): "" for number in range(65)},
    ],
    ids=lambda bad: repr(bad)[:30],
)
def test_labels_that_are_refused(bad: dict[str, str]) -> None:
    with pytest.raises(errors.UsageError):
        labels.check(bad)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ([], True),
        (["a=1"], True),
        (["a"], True),
        (["b="], True),
        (["c=x=y"], True),
        (["a=1", "b"], True),
        (["a="], False),
        (["a=2"], False),
        (["d"], False),
        (["a=1", "a=2"], False),
    ],
    ids=str,
)
def test_all_that_is_wanted_must_be_there(wanted: list[str], found: bool) -> None:
    assert labels.selector(wanted)({"a": "1", "b": "", "c": "x=y"}) is found


@pytest.mark.parametrize("bad", ["", "=", "=v", "a b=v", "\x1b=v"])
def test_what_is_no_label_is_not_looked_for(bad: str) -> None:
    with pytest.raises(errors.UsageError):
        labels.selector([bad])
