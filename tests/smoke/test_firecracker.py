"""The Firecracker driver on real guests: the conformance suite of all drivers, run by root in the box.

The suite and what runs it come from this checkout and this interpreter: they are pure Python.
"""

import importlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.kernels import kernel
from tests import tiny_guest
from tests.home import TREE
from tests.smoke.host.box import Host

SUITE = "/srv/suite"
FILES = ("__init__.py", "kept.py", "tiny_guest.py", "vsock_echo.c", "driver_bench.py", "conformance/test_driver.py")
RUNNER = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "py", "pygments")
LEXERS = {"__init__.py", "_mapping.py", "python.py", "diff.py"}
"""All that the runner shows; the other languages' are megabytes."""

OPTIONS = "-p no:cacheprovider -o addopts= -q -rA --tb=short --durations=0"
LIMIT = 1400


@pytest.fixture
def suite(host: Host, tmp_path: Path) -> Iterator[Host]:
    """The suite, its runner and its guest in the box."""
    whole = tmp_path / "suite"
    for name in FILES:
        (whole / "tests" / name).parent.mkdir(parents=True, exist_ok=True)
        (whole / "tests" / name).write_bytes((TREE / "tests" / name).read_bytes())
    (whole / "pytest.ini").write_text("[pytest]\nmarkers =\n    qemu\n    root\n")
    for name in RUNNER:
        _copy(Path(str(importlib.import_module(name).__file__)), name, whole)
    guest = tiny_guest.guest()
    (whole / "guest").mkdir()
    shutil.copy(guest.kernel, whole / "guest" / kernel.VMLINUX)
    shutil.copy(guest.initrd, whole / "guest" / "guest.cpio")
    host.put(whole, SUITE, timeout=300)
    yield host
    host.run(f"rm -rf {SUITE} /run/banger-root /tmp/pytest-of-root")


def _copy(module: Path, name: str, target: Path) -> None:
    """A package's sources, or a module's."""

    def left_out(directory: str, names: list[str]) -> list[str]:
        lexers = directory.endswith("/lexers")
        return [each for each in names if each == "__pycache__" or (lexers and each not in LEXERS)]

    if module.name == "__init__.py":
        shutil.copytree(module.parent, target / name, ignore=left_out)
    else:
        shutil.copy(module, target / module.name)


@pytest.mark.timeout(LIMIT + 100, func_only=True)
def test_it_keeps_what_every_driver_promises(suite: Host) -> None:
    env = {
        "BANGER_CONFORMANCE_ROOT": SUITE,
        "BANGER_TINY_GUEST": f"{SUITE}/guest",
        "PYTHONPATH": SUITE,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    ended = suite.run(
        f"/opt/banger/bin/python -m pytest {OPTIONS} -k firecracker tests/conformance",
        cwd=SUITE,
        env=env,
        timeout=LIMIT,
        check=False,
    )
    assert ended.status == 0, ended.stdout[-20000:] + ended.stderr[-2000:]
    assert " passed" in ended.stdout
    assert "skipped" not in ended.stdout
