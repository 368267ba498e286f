"""The user's own file: what is kept of it, and when it is left alone."""

import os
import stat
from pathlib import Path

import pytest

from banger import errors
from banger.config.settings import build
from banger.paths import Paths
from banger.ssh import including

LINE = 'Include "/state/ssh/config"'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / ".ssh").mkdir(mode=0o755)
    path = tmp_path / ".ssh" / "config"
    path.write_bytes(b"Host a\r\n  User b")
    return path


def test_there_and_back_again(config: Path) -> None:
    os.chmod(config, 0o640)
    before = config.read_bytes()
    assert including.change(str(config), LINE) and not including.change(str(config), LINE)
    assert config.read_bytes().endswith(before) and LINE.encode() in config.read_bytes()
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    assert including.change(str(config), None) and not including.change(str(config), None)
    assert config.read_bytes() == before and stat.S_IMODE(config.stat().st_mode) == 0o640
    assert os.listdir(config.parent) == ["config"]


def test_a_missing_directory_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / ".ssh" / "config"
    assert not including.change(str(path), None) and not path.parent.exists()
    assert including.change(str(path), LINE)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700 and stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_stays_a_link(config: Path, tmp_path: Path) -> None:
    kept = tmp_path / "dotfiles"
    config.rename(kept)
    config.symlink_to(kept)
    assert including.change(str(config), LINE)
    assert config.is_symlink() and LINE.encode() in kept.read_bytes() and not kept.is_symlink()


@pytest.mark.parametrize("what", ["read-only", "directory", "pipe", "device", "dangling", "large", "unclosed"])
def test_what_is_not_certain_is_left_alone(config: Path, what: str) -> None:
    if what == "read-only":
        config.chmod(0o444)
    elif what == "large":
        config.write_bytes(b"#" * (including.LIMIT + 1))
    elif what == "unclosed":
        config.write_bytes(b"# BEGIN banger\n")
    else:
        config.unlink()
    if what == "directory":
        config.mkdir()
    elif what == "pipe":
        os.mkfifo(config)
    elif what in ("device", "dangling"):
        config.symlink_to("/dev/null" if what == "device" else "/no/such/place")
    before = os.lstat(config)
    with pytest.raises(errors.BangerError) as refused:
        including.change(str(config), LINE)
    assert refused.value.code in ("unsafe_directory", "usage") and refused.value.advice
    assert os.lstat(config) == before or what == "device"
    assert os.listdir(config.parent) == ["config"]


def test_root_does_not_include_what_is_the_owners(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owners = Paths("/c", "/no/such/state", "/k", "/r", owner=os.geteuid() + 1)
    monkeypatch.setattr(Paths, "from_environment", lambda: owners)
    monkeypatch.setattr(including, "load", lambda *paths: build({}, {}))
    before = config.read_bytes()
    with pytest.raises(errors.UsageError, match="the machines are uid"):
        including.act(including.Request(act="install", file=str(config)))
    assert config.read_bytes() == before


def test_the_file_is_where_ssh_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = including.users_file()
    monkeypatch.delenv("HOME", raising=False)
    assert including.users_file() == expected
    monkeypatch.setenv("HOME", "/elsewhere")
    assert including.users_file() == expected
