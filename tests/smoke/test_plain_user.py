"""banger for a plain user of the box, without an installation: no monitor is usable there, and doctor says so."""

from collections.abc import Iterator

import pytest

from tests.smoke.host.box import Host
from tests.smoke.host.image import OWNER


@pytest.fixture
def plain(host: Host) -> Iterator[Host]:
    """The box; the user's daemon is ended afterwards, and what it kept is removed."""
    yield host
    host.banger("daemon", "stop", check=False)
    host.run(f"rm -rf /tmp/banger-runtime-* /home/{OWNER}/.local /home/{OWNER}/.cache")


def test_version_is_that_of_the_wheel(plain: Host) -> None:
    assert plain.banger("version").stdout.splitlines()[0].split() == ["version", plain.version]


def test_doctor_says_that_there_is_no_monitor(plain: Host) -> None:
    done = plain.banger("doctor", check=False)
    assert done.status == 1
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("FAIL")] == ["monitor"]
    assert "qemu-system-x86_64 is not installed" in done.stdout
