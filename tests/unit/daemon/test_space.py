"""What is promised, and what is taken."""

import os
from pathlib import Path

from banger.api.space import Item
from banger.daemon.space import measure

MIB = 1 << 20


def test_what_is_promised_is_what_machines_may_still_write(tmp_path: Path) -> None:
    for name in ("web", "image"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "disk").write_bytes(os.urandom(MIB))
    machine = Item(kind="machine", name="web", virtual=10 * MIB, real=0)
    image = Item(kind="image", name="i", virtual=100 * MIB, real=0)
    rest = Item(kind="other", real=0)
    found = [(machine, str(tmp_path / "web")), (image, str(tmp_path / "image")), (rest, str(tmp_path))]
    space = measure(found, str(tmp_path))
    assert [each.name for each in space.items] == ["web", "i", ""]
    assert 9 * MIB - (64 << 10) <= space.promised == 10 * MIB - space.items[0].real
    assert space.items[2].real < 64 << 10
    assert 0 < space.free <= space.size
