"""The two commands of the README, and what they say when they cannot go on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.home import TREE, Home

SETUP = TREE / "scripts" / "setup.py"


def tools_without(directory: Path, *hidden: str) -> str:
    """A directory of links to the programs of PATH, without some: a PATH for a poorer machine."""
    directory.mkdir()
    for place in ("/usr/sbin", "/usr/bin", "/sbin", "/bin"):
        for name in os.listdir(place):
            link = directory / name
            if name not in hidden and not link.is_symlink():
                link.symlink_to(f"{place}/{name}")
    return str(directory)


def setup(path: str, mode: str = "run") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SETUP), mode],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_without_apt_the_missing_packages_are_named(tmp_path: Path) -> None:
    path = tools_without(tmp_path / "bin", "apt-get", "dpkg-query", "skopeo", "qemu-system-x86_64")
    done = setup(path)
    assert done.returncode == 1
    assert "qemu-system-x86 skopeo" in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_mode_is_refused() -> None:
    done = setup(os.environ["PATH"], "walk")
    assert done.returncode == 2
    assert "usage" in done.stderr


def test_python_is_found_when_the_first_one_is_too_old(tmp_path: Path) -> None:
    path = tools_without(tmp_path / "bin", "python3")
    old = tmp_path / "bin" / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = subprocess.run(
        [str(TREE / "scripts" / "python"), "-c", "import sys; print(sys.version_info >= (3, 11))"],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "True\n"


@pytest.mark.qemu
@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_demo_from_nothing_and_again(home: Home) -> None:
    """The demo makes what is missing, ends with the machine gone, and the second time skips what is there."""
    argv = [sys.executable, str(TREE / "scripts" / "demo.py")]
    first = subprocess.run(argv, env=home.env, capture_output=True, text=True, timeout=1200, check=False)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Debian GNU/Linux 12" in first.stdout
    for phase in ("obtain the kernel", "build the image", "create and boot", "delete the machine"):
        assert phase in first.stdout
    assert home.banger("vm", "list", "--quiet", check=True).stdout == ""
    second = subprocess.run(argv, env=home.env, capture_output=True, text=True, timeout=600, check=False)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "obtain the kernel" not in second.stdout
    assert "build the image" not in second.stdout
