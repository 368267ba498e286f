"""The file that says what can be set."""

import re
import tomllib
from pathlib import Path

import pytest

from banger.config import defaults
from banger.config.loader import load
from banger.config.settings import SETTINGS, build, value_of
from banger.config.sizes import GIB
from banger.config.template import WIDTH, template


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BANGER_LOG_LEVEL", raising=False)
    monkeypatch.setattr(defaults, "processors", lambda: 8)
    monkeypatch.setattr(defaults, "memory", lambda: 16 * GIB)


def test_as_it_is_it_sets_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(template())
    assert load(str(path)) == build({})


def test_uncommented_it_is_every_setting_at_its_default(tmp_path: Path) -> None:
    text = re.sub(r"^#(?! )", "", template(), flags=re.MULTILINE)
    assert set(tomllib.loads(text)) == {setting.name.partition(".")[0] for setting in SETTINGS}
    path = tmp_path / "config.toml"
    path.write_text(text)
    config = load(str(path))
    assert {name for name, origin in config.origins.items() if origin.path == str(path)} == set(config.origins)
    for setting in SETTINGS:
        if setting.default is not None and setting.example is None and not setting.head:
            assert value_of(config, setting) == value_of(build({}), setting), setting.name


def test_it_explains_every_setting_in_lines_that_fit() -> None:
    lines = template().splitlines()
    prose = " ".join(line.removeprefix("# ") for line in lines)
    assert all(" ".join(setting.help.split()) in prose for setting in SETTINGS)
    assert max(map(len, lines)) <= WIDTH
