"""Durations as people write and read them."""

import pytest

from banger import errors
from banger.cli import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30.0), ("30s", 30.0), ("5m", 300.0), ("1h", 3600.0), ("2d", 172800.0), ("1.5h", 5400.0), ("0.5", 0.5)],
)
def test_reads_durations(text: str, seconds: float) -> None:
    assert durations.parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "-1", "0", "inf", "nan", "1d2", "1e99", "1e3", "1_0", "\u0663", ".", "1.2.3", "5 m", "9" * 400]
)
def test_refuses_what_is_no_duration(text: str) -> None:
    with pytest.raises(errors.UsageError, match="is not a duration"):
        durations.parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1.0, "0 ms"),
        (0.012, "12 ms"),
        (3.44, "3.4 s"),
        (42.0, "42 s"),
        (600.0, "10 min"),
        (7200.0, "2 h"),
        (1e6, "12 d"),
    ],
)
def test_shows_durations(seconds: float, text: str) -> None:
    assert durations.format_duration(seconds) == text
