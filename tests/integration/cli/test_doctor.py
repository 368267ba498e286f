"""``banger doctor`` on what is really left over: shown as it is, cleared away when asked, told in words and as JSON."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.vms import boot
from tests import fakes
from tests.home import Home

LOST, NOBODY, NEXT = "00000000000000aa", "00000000000000bb", "00000000000000cc"


@pytest.fixture
def stray(home: Home) -> Iterator["subprocess.Popen[bytes]"]:
    """A monitor of no machine, beside a directory that nobody knows and a daemon that serves."""
    fakes.prepare(home)
    os.makedirs(home.paths.vm(LOST))
    Path(home.paths.vm(LOST), "disk.qcow2").write_bytes(b"somebody's")
    initrd = os.path.join(home.paths.vm(NOBODY), boot.INITRD)
    argv = [sys.executable, "-c", "import sys; print('here', flush=True); sys.stdin.read()", "-initrd", initrd, "-x"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"here\n"
        yield process
        with contextlib.suppress(ProcessLookupError):
            process.kill()


def row(document: object, name: str = "left over") -> dict[str, str]:
    assert isinstance(document, dict)
    found: dict[str, str] = next(each for each in document["checks"] if each["name"] == name)
    return found


def test_what_is_left_over_is_shown_and_cleared_away(home: Home, stray: "subprocess.Popen[bytes]") -> None:
    document = home.banger("doctor", "--json").json()
    assert isinstance(document, dict) and document["fixed"] == []
    told = row(document)
    assert (told["status"], told["mend"]) == ("warn", "banger doctor --fix")
    assert LOST in told["detail"] and NOBODY in told["detail"] and f"process {stray.pid}" in told["detail"]
    assert f"WARN  {'left over'}" in home.banger("doctor").stdout
    assert stray.poll() is None and os.path.isdir(home.paths.vm(LOST)), "doctor only looks"

    fixed = home.banger("doctor", "--fix", "--json").json()
    assert isinstance(fixed, dict)
    came = {os.path.basename(each["name"]): (each["remedy"], each["done"]) for each in fixed["fixed"]}
    assert came == {LOST: ("set aside", True), NOBODY: ("remove", True)}
    assert row(fixed)["status"] == "pass" and row(fixed, "set aside")["status"] == "warn"
    deadline = time.monotonic() + 60
    while stray.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert stray.returncode == -9
    (aside,) = Path(home.paths.set_aside).iterdir()
    assert (aside / "disk.qcow2").read_bytes() == b"somebody's"

    os.makedirs(home.paths.vm(NEXT))
    words = home.banger("doctor", "--fix").stdout
    assert f"set aside: machine {home.paths.vm(NEXT)}: nobody knows whose disk it is" in words
    assert home.banger("doctor", "--fix", "--json").json()["fixed"] == []  # type: ignore[index]
