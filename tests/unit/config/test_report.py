"""The settings in force, for whoever asks."""

import json
from pathlib import Path

import msgspec
import pytest

from banger.config import report
from banger.config.loader import load
from banger.config.settings import SETTINGS
from banger.config.sizes import GIB
from banger.paths import Paths


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.delenv("BANGER_LOG_LEVEL", raising=False)
    monkeypatch.setenv("BANGER_CONFIG_DIR", str(tmp_path))
    return Paths.from_environment()


def test_every_setting_is_told_with_its_origin(paths: Paths) -> None:
    Path(paths.config_file).write_text('\nlog_level = "debug"\n[vm_defaults]\nmemory = "3G"\n')
    found = report.report(load(*paths.config_files), paths)
    assert [each.name for each in found.settings] == [setting.name for setting in SETTINGS if setting.name != "profile"]
    told = {each.name: each for each in found.settings}
    level, memory, mirror = told["log_level"], told["vm_defaults.memory"], told["debian_mirror"]
    assert (level.value, level.written, level.origin.line) == ("debug", '"debug"', 2)
    assert (memory.value, memory.written, memory.origin.line) == (3 * GIB, '"3G"', 4)
    assert (memory.origin.kind, memory.origin.path) == ("user", paths.config_file)
    assert (mirror.value, mirror.written, mirror.origin.kind) == (None, "unset", "built-in")
    assert not any(each.next for each in found.settings) and not found.fault
    assert json.loads(msgspec.json.encode(found))["files"] == [
        {"kind": "user", "path": paths.config_file, "exists": True}
    ]


def test_what_the_file_says_since_is_told_beside_what_is_in_force(paths: Paths) -> None:
    config = load(*paths.config_files)
    Path(paths.config_file).write_text('log_level = "debug"\nvm_defaults.disk_size = "20G"\n')
    found = report.report(config, paths)
    told = {each.name: (each.written, each.next) for each in found.settings if each.next is not None}
    assert told == {"log_level": ('"info"', '"debug"'), "vm_defaults.disk_size": ('"8G"', '"20G"')}
    assert found.files[0].exists


def test_a_file_that_went_wrong_since_is_told(paths: Paths) -> None:
    config = load(*paths.config_files)
    Path(paths.config_file).write_text("\nlog_level = 5\n")
    found = report.report(config, paths)
    assert found.fault == f"{paths.config_file}:2: log_level: 5 is not one of debug, info, warning, error"
    assert not any(each.next for each in found.settings)
