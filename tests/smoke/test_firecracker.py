"""The Firecracker driver on real guests: the conformance suite of all drivers, run by root in the box.

The suite and what runs it come from this checkout and this interpreter: they are pure Python.
"""

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.kernels import kernel
from tests import tiny_guest
from tests.home import TREE
from tests.smoke.host.box import Host

SUITE = "/srv/suite"
FILES = ("__init__.py", "tiny_guest.py", "conformance/test_driver.py")
RUNNER = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging")
OUTCOMES = "-p no:cacheprovider -o addopts= -o asyncio_mode=auto -q -rA --tb=short"


@pytest.fixture
def suite(host: Host, tmp_path: Path) -> Iterator[Host]:
    """The suite, its runner and its guest in the box."""
    whole = tmp_path / "suite"
    for name in FILES:
        (whole / "tests" / name).parent.mkdir(parents=True, exist_ok=True)
        (whole / "tests" / name).write_bytes((TREE / "tests" / name).read_bytes())
    (whole / "pytest.ini").write_text("[pytest]\nmarkers =\n    qemu\n    root\n")
    for name in RUNNER:
        package = importlib.import_module(name).__path__[0]
        (whole / name).symlink_to(package)
    guest = tiny_guest.guest()
    (whole / "guest").mkdir()
    (whole / "guest" / kernel.VMLINUX).symlink_to(guest.kernel)
    (whole / "guest" / "guest.cpio").symlink_to(guest.initrd)
    host.put(_solid(whole, tmp_path / "solid"), SUITE)
    yield host
    host.run(f"rm -rf {SUITE}")


def _solid(tree: Path, target: Path) -> Path:
    """A copy with files in the place of links, without what interpreters leave behind."""
    import shutil

    shutil.copytree(tree, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    return target


def test_it_keeps_what_every_driver_promises(suite: Host) -> None:
    env = {
        "BANGER_CONFORMANCE_ROOT": SUITE,
        "BANGER_TINY_GUEST": f"{SUITE}/guest",
        "PYTHONPATH": SUITE,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    ended = suite.run(
        f"/opt/banger/bin/python -m pytest {OUTCOMES} -k firecracker tests/conformance",
        cwd=SUITE,
        env=env,
        timeout=540,
        check=False,
    )
    assert ended.status == 0, ended.stdout[-20000:] + ended.stderr[-2000:]
    assert " passed" in ended.stdout
    assert "skipped" not in ended.stdout
