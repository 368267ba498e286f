"""Whose directories a command uses: its user's, or those of the system installation."""

import os
from pathlib import Path

import pytest

from banger import paths
from banger.paths import Paths, installed_owner

RECORD = b'{\n  "owner": "alice\\"owner_uid\\":7",\n  "owner_uid": 1234,\n  "state": "/var/lib/banger"\n}\n'


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONFIG", "STATE", "CACHE", "RUNTIME"):
        monkeypatch.delenv(f"BANGER_{name}_DIR", raising=False)
        monkeypatch.delenv(f"XDG_{name}_{'DIR' if name == 'RUNTIME' else 'HOME'}", raising=False)
    monkeypatch.setenv("HOME", "/home/alice")


@pytest.fixture
def roots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of ours count as root's."""
    monkeypatch.setattr(paths, "_is_roots", lambda found: True)


@pytest.mark.parametrize(
    ("content", "owner"),
    [
        (RECORD, 1234),
        (b'{"owner_uid":0}', 0),
        (b'{"owner_uid": "1"}', None),
        (b'{"owner_uid": -5}', None),
        (b'{"owner_uid": 123456789012345}', None),
        (b'{"other_uid": 5}', None),
        (b"", None),
        (b"\xff\xfe", None),
    ],
)
def test_the_owner_is_read_from_the_record(tmp_path: Path, roots: None, content: bytes, owner: int | None) -> None:
    (tmp_path / "install.json").write_bytes(content)
    assert installed_owner(str(tmp_path / "install.json")) == owner


@pytest.mark.parametrize(("uid", "mode"), [(1000, 0o100644), (0, 0o100664), (0, 0o100646)])
def test_a_record_that_others_can_write_says_nothing(tmp_path: Path, uid: int, mode: int) -> None:
    written = os.stat_result((mode, 0, 0, 1, uid, 0, 0, 0, 0, 0))
    assert not paths._is_roots(written)
    assert paths._is_roots(os.stat_result((0o100644, 0, 0, 1, 0, 0, 0, 0, 0, 0)))
    (tmp_path / "install.json").write_bytes(RECORD)
    (tmp_path / "install.json").chmod(0o666)
    assert installed_owner(str(tmp_path / "install.json")) is None


def test_a_record_that_is_a_link_or_missing_says_nothing(tmp_path: Path, roots: None) -> None:
    (tmp_path / "real").write_bytes(RECORD)
    (tmp_path / "link").symlink_to("real")
    assert installed_owner(str(tmp_path / "link")) is None
    assert installed_owner(str(tmp_path / "missing")) is None


def found(monkeypatch: pytest.MonkeyPatch, uid: int, owner: int | None) -> Paths:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(paths, "installed_owner", lambda record: owner)
    return Paths.from_environment()


def test_the_owner_and_root_share_the_services_directories(monkeypatch: pytest.MonkeyPatch) -> None:
    for uid in (1234, 0):
        roots = found(monkeypatch, uid, 1234)
        assert (roots.system, roots.owner) == (True, 1234)
        assert (roots.state, roots.cache, roots.runtime) == ("/var/lib/banger", "/var/cache/banger", "/run/banger")
        assert roots.daemon_log == "journalctl -u bangerd"
    assert found(monkeypatch, 0, 1234).config == "/etc/banger"
    assert found(monkeypatch, 1234, 1234).config == "/home/alice/.config/banger"


def test_everybody_else_keeps_a_private_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    roots = found(monkeypatch, 77, 1234)
    assert (roots.system, roots.state, roots.runtime) == (
        False,
        "/home/alice/.local/state/banger",
        "/tmp/banger-runtime-77",
    )
    assert found(monkeypatch, 1234, None).state == "/home/alice/.local/state/banger"
    alone = found(monkeypatch, 0, None)
    assert (alone.system, alone.state) == (False, "/var/lib/banger")


def test_a_moved_runtime_directory_is_another_daemons(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BANGER_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("BANGER_STATE_DIR", str(tmp_path / "state"))
    roots = found(monkeypatch, 1234, 1234)
    assert (roots.system, roots.runtime, roots.state) == (False, str(tmp_path), str(tmp_path / "state"))
    assert roots.cache == "/home/alice/.cache/banger"


def test_the_hosts_settings_come_before_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch, 77, None).config_files == (
        "/etc/banger/config.toml",
        "/home/alice/.config/banger/config.toml",
    )
    assert found(monkeypatch, 0, None).config_files == ("/etc/banger/config.toml",)
    monkeypatch.setenv("BANGER_CONFIG_DIR", "/elsewhere")
    assert found(monkeypatch, 77, None).config_files == ("/elsewhere/config.toml",)


def test_the_record_is_where_the_helper_looks_for_it() -> None:
    from banger.helper import host

    assert host.RECORD == paths.RECORD
    assert os.path.dirname(paths.SYSTEM_CONFIG) == os.path.dirname(paths.RECORD)
