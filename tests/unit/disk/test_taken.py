"""What files take: holes, links, and files that two share."""

import os
from pathlib import Path

from banger.disk.taken import Meter

MIB = 1 << 20


def test_each_file_is_counted_once_and_holes_take_nothing(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    (one / "data").write_bytes(os.urandom(MIB))
    os.link(one / "data", two / "data")
    (two / "link").symlink_to(one)
    (two / "loop").symlink_to(two)
    with (two / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    meter = Meter()
    assert MIB <= meter.taken(str(one)) < MIB + (64 << 10)
    assert meter.taken(str(two)) < 64 << 10
    assert meter.taken(str(one)) == 0
    assert meter.taken(str(tmp_path / "absent")) == 0
