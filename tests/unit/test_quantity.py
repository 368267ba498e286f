"""Sizes and durations as people write them."""

import pytest

from banger import errors, quantity


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512M", 512 << 20), ("4G", 4 << 30), ("4GiB", 4 << 30), ("4gb", 4 << 30), ("512", 512 << 20),
        ("1.5G", 3 << 29), (" 1T ", 1 << 40), ("2 MiB", 2 << 20), ("4096k", 4 << 20), ("1048576B", 1 << 20),
    ],
)  # fmt: skip
def test_reads_sizes(text: str, size: int) -> None:
    assert quantity.parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "M", "0", "-1G", "1X", "1Gi B", "4 giga", "1e3", "0.1b", "nan", "1.2.3M", "iB", "9" * 400]
)
def test_refuses_what_is_no_size(text: str) -> None:
    with pytest.raises(errors.UsageError, match="is not a size"):
        quantity.parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1K"),
        (1536, "1.5K"),
        (512 << 20, "512M"),
        (8 << 30, "8G"),
        (5 << 50, "5120T"),
    ],
)
def test_shows_sizes(size: int, text: str) -> None:
    assert quantity.format_size(size) == text


@pytest.mark.parametrize(
    ("text", "seconds"), [("30", 30.0), ("30s", 30.0), ("5m", 300.0), ("1h", 3600.0), ("0.5", 0.5)]
)
def test_reads_durations(text: str, seconds: float) -> None:
    assert quantity.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1", "0", "inf", "nan", "1d2", "1e99"])
def test_refuses_what_is_no_duration(text: str) -> None:
    with pytest.raises(errors.UsageError, match="is not a duration"):
        quantity.parse_duration(text)


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
    assert quantity.format_duration(seconds) == text
