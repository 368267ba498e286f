"""The record of what was agreed to."""

import os
import stat
from pathlib import Path

from banger.config.trust import Trusted


def test_what_is_agreed_to_is_the_content_of_one_path(tmp_path: Path) -> None:
    trusted = Trusted(str(tmp_path / "state" / "trusted"))
    assert trusted.content("/a/.banger.toml") is None
    trusted.trust("/a/.banger.toml", b"one")
    trusted.trust("/b/.banger.toml", b"two")
    trusted.trust("/a/.banger.toml", b"three")
    assert (trusted.content("/a/.banger.toml"), trusted.content("/b/.banger.toml")) == (b"three", b"two")
    assert trusted.forget("/a/.banger.toml") and not trusted.forget("/a/.banger.toml")
    assert (trusted.content("/a/.banger.toml"), trusted.content("/b/.banger.toml")) == (None, b"two")


def test_it_is_the_user_s_alone_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    trusted = Trusted(str(tmp_path / "trusted"))
    trusted.trust("/a/\udcff\n/.banger.toml", b"content")
    (file,) = os.listdir(tmp_path / "trusted")
    assert stat.S_IMODE((tmp_path / "trusted").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "trusted" / file).stat().st_mode) == 0o600
