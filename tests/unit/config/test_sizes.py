"""Sizes as users write them."""

import pytest

from banger import errors
from banger.config.sizes import GIB, KIB, MIB, TIB, format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512", 512 * MIB),
        ("512M", 512 * MIB),
        ("512MiB", 512 * MIB),
        ("512mb", 512 * MIB),
        ("4G", 4 * GIB),
        (" 4 GiB ", 4 * GIB),
        ("4k", 4 * KIB),
        ("1.5G", GIB + GIB // 2),
        ("2T", 2 * TIB),
    ],
)
def test_a_size_is_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "G",
        "iB",
        "b",
        "4X",
        "-1G",
        "+1",
        "1e3",
        "0",
        "0.0G",
        "1.G",
        ".5G",
        "4GG",
        "4iB",
        "٤G",
        "1_0",
        "9" * 30,
        "2000T",
    ],
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(errors.UsageError):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (300, "300 B"), (KIB, "1 KiB"), (4 * GIB, "4 GiB"), (GIB + GIB // 2, "1.5 GiB"), (3 * TIB, "3 TiB")],
)
def test_a_size_is_shown(size: int, text: str) -> None:
    assert format_size(size) == text
