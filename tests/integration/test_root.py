"""What is different when root does it: by name, and nothing more."""

import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from tests.guest_images import busybox
from tests.home import TREE, Home

pytestmark = pytest.mark.root


def monitor_uids(home: Home, name: str) -> set[int]:
    """The user ids of a machine's monitor: real, effective, saved, of the file system."""
    shown = home.banger("vm", "show", name, "--json", check=True).json()
    assert isinstance(shown, dict)
    for line in Path(f"/proc/{shown['pid']}/status").read_text().splitlines():
        if line.startswith("Uid:"):
            return set(map(int, line.split()[1:]))
    raise AssertionError("no such line")


@pytest.mark.qemu
@pytest.mark.timeout(600)
def test_a_machine_of_root_is_run_by_somebody_else(home: Home, tmp_path: Path) -> None:
    home.banger("image", "pull", busybox(tmp_path / "busybox"), "--name", "busybox", timeout=300, check=True)
    first = home.banger("vm", "create", "--name", "one", "--image", "busybox", timeout=300, check=True)
    assert "as root" in first.stderr
    assert home.banger("exec", "one", "--", "id", "-u", check=True).stdout == "0\n"
    uids = monitor_uids(home, "one")
    assert len(uids) == 1
    assert 0 not in uids
    second = home.banger("vm", "create", "--name", "two", "--image", "busybox", timeout=300, check=True)
    assert "as root" not in second.stderr, "it is said once"
    home.banger("vm", "delete", "one", "two", check=True)


def test_the_test_user_is_made_once() -> None:
    code = "import suite; suite.ensure_user(); print(suite.ensure_user().pw_name)"
    before = Path("/etc/subuid").read_text(), Path("/etc/subgid").read_text()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=TREE / "scripts", capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    user = pwd.getpwnam(done.stdout.split()[-1])
    assert user.pw_uid != 0
    assert (Path("/etc/subuid").read_text(), Path("/etc/subgid").read_text()) == before
