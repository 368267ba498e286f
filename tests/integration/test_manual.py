"""What a wheel brings below ``share``: `man` finds the pages, and neither groff nor mandoc has anything to say."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from banger.cli import manual, share
from tests.home import TREE

NEVER_MIND = ("missing date", ".so is fragile")
"""A page is the same whenever it is made; shorter names are pages that lead to another."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``share`` that a wheel of this tree brings."""
    directory = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--quiet", "--wheel-dir", str(directory), str(TREE)], check=True, timeout=240)
    (wheel,) = directory.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(directory)
    (found,) = directory.glob("banger-*.data/data/share")
    return found


def said(*argv: str, cwd: Path) -> str:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def test_a_wheel_brings_what_there_is(shared: Path) -> None:
    found = {str(path.relative_to(shared)): path.read_text() for path in shared.rglob("*") if path.is_file()}
    assert found == share.files()


def test_man_finds_every_page(shared: Path) -> None:
    pages = str(shared / "man")
    for name in ("banger", "banger-vm", "banger-vm-run", "banger-run", "banger-doctor"):
        page = said("man", "-M", pages, name, cwd=shared)
        assert page.startswith(f"{name.upper().replace('BANGER-RUN', 'BANGER-VM-RUN')}(1)"), page
        assert "\nNAME\n" in page
    assert "BANGER_STATE_DIR" in said("man", "-M", pages, "banger", cwd=shared)
    assert "default_image" in said("man", "-M", pages, "5", "banger-config", cwd=shared)


def test_groff_understands_every_page(shared: Path) -> None:
    for name in manual.pages():
        assert said("groff", "-ww", "-man", "-Tutf8", "-z", name, cwd=shared / "man") == ""
        assert "banger" in said("lexgrog", str(shared / "man" / name), cwd=shared), "whatis and apropos know it"


def test_mandoc_understands_every_page(shared: Path) -> None:
    told = said("mandoc", "-T", "lint", "-W", "warning", *manual.pages(), cwd=shared / "man").splitlines()
    assert [line for line in told if not any(each in line for each in NEVER_MIND)] == []
