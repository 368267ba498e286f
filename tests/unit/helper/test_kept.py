"""What is remembered until the host's next start."""

from pathlib import Path

import pytest

from banger.helper import kept
from banger.helper.host import Host


def test_until_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(owner_uid=1, owner_gid=1, private=str(tmp_path))
    assert kept.read(host, "thing") == {}
    kept.write(host, "thing", {"value": "1"})
    assert kept.read(host, "thing") == {"value": "1"}
    assert kept.read(host, "other") == {}
    monkeypatch.setattr(kept, "_boot", lambda: "another")
    assert kept.read(host, "thing") == {}
    kept.forget(host, "thing")
    kept.forget(host, "thing")
    assert list((tmp_path / "network").iterdir()) == []


@pytest.mark.parametrize("content", ["", "[]", "{", '{"value": 1}', "\xff"])
def test_what_cannot_be_read_is_nothing(tmp_path: Path, content: str) -> None:
    host = Host(owner_uid=1, owner_gid=1, private=str(tmp_path))
    (tmp_path / "network").mkdir()
    (tmp_path / "network" / "thing.json").write_text(content)
    assert kept.read(host, "thing") == {}
