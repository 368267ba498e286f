"""The helper as one file: the same bytes each time, and nothing of banger's within."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from banger.privileged import archive

PYTHONS = sorted({os.path.realpath(each) for each in (sys.executable, "/usr/bin/python3") if os.path.exists(each)})
LOOK = f"""
import json, sys
sys.path.insert(0, sys.argv[1])
import {archive.PACKAGE}.main, {archive.PACKAGE}.release
print(json.dumps([sorted(sys.modules), {archive.PACKAGE}.release.DIGEST]))
"""


@pytest.fixture
def built(tmp_path: Path) -> Path:
    archive.build(str(tmp_path / "bangerd-root.pyz"))
    return tmp_path / "bangerd-root.pyz"


def test_the_same_sources_give_the_same_bytes(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Chatham")
    assert built.read_bytes() == archive.content()
    assert built.stat().st_mode & 0o777 == 0o644
    assert os.listdir(built.parent) == [built.name]
    with zipfile.ZipFile(built) as opened:
        names = opened.namelist()
        assert names == sorted(names)
        assert all(each.endswith(".py") for each in names)
        assert {f"{archive.PACKAGE}/main.py", "__main__.py"} <= set(names)


@pytest.mark.parametrize("python", PYTHONS)
def test_it_stands_alone(built: Path, python: str) -> None:
    """It starts on every Python there is here, isolated and without site-packages, and imports the standard library."""
    run = [python, "-IS", "-c", LOOK, str(built)]
    modules, digest = json.loads(subprocess.run(run, capture_output=True, check=True, cwd="/", timeout=60).stdout)
    assert digest == archive.digest()
    ours = {each for each in modules if each.partition(".")[0] == archive.PACKAGE}
    known = {*sys.stdlib_module_names, "__main__", "_sysconfigdata__linux_x86_64-linux-gnu"}
    assert {each.partition(".")[0] for each in set(modules) - ours} <= known
    assert f"{archive.PACKAGE}.registry" in ours


def test_wrong_usage(built: Path) -> None:
    done = subprocess.run([sys.executable, "-IS", str(built), "--help"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (2, "usage: bangerd-root.pyz [--record FILE]\n")
