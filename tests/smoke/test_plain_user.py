"""banger for a plain user of the box, for whom it is not installed: no monitor is usable, and doctor says so."""

import json
from collections.abc import Iterator

import pytest

from tests.smoke.host.box import Host
from tests.smoke.host.image import OTHER, OWNER


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


@pytest.fixture
def stranger(serving: Host) -> Iterator[Host]:
    """The box with a machine of the owner's; what the other user comes to have is removed."""
    yield serving
    serving.banger("daemon", "stop", user=OTHER, check=False)
    serving.run(f"rm -rf /tmp/banger-runtime-* /home/{OTHER}/.local /home/{OTHER}/.cache")


def test_somebody_else_sees_nothing_of_the_owners_machines(stranger: Host) -> None:
    assert json.loads(stranger.banger("vm", "list", "--json", user=OTHER).stdout) == {"vms": []}
    refused = stranger.banger("exec", "one", "--", "true", user=OTHER, check=False)
    assert refused.status == 125 and "no machine named 'one'" in refused.stderr, refused.stderr
    for path in ("/var/lib/banger", "/var/cache/banger", "/var/lib/banger-root/store", "/run/banger"):
        assert stranger.run(["ls", path], user=OTHER, check=False).status == 2, path
    assert stranger.banger("exec", "one", "--", "true").status == 0
