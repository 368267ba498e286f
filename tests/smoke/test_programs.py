"""Firecracker missing, of another version, or not root's alone: told before anything is made, by doctor and by run."""

import json
from collections.abc import Iterator

import pytest

from tests.smoke.host.box import Host

PROGRAM = "/usr/local/bin/firecracker"
SPOILT = {
    f"rm {PROGRAM}": f"{PROGRAM} is not installed",
    f"printf '#!/bin/sh\necho Firecracker v1.11.0\n' > {PROGRAM}":
        "firecracker is 1.11.0 and jailer 1.12.1: both must be of one release",
    f"chown owner {PROGRAM}": f"somebody other than root can write {PROGRAM}",
}  # fmt: skip
"""What is done to it -> the reason that is given."""

MEND = "sudo banger firecracker install"
RUN = ("run", "--rm", "--image", "busybox", "--", "true")


@pytest.fixture
def kept(stocked: Host) -> Iterator[Host]:
    """The box after a first run; Firecracker is put back in the end."""
    stocked.banger(*RUN, timeout=180)
    yield stocked
    put_back(stocked)


def put_back(host: Host) -> None:
    """As it was installed."""
    host.run(f"install -o root -g root -m 755 /kit/bin/firecracker {PROGRAM}")


def rows(host: Host) -> dict[str, dict[str, str]]:
    """The doctor's report by row."""
    document = json.loads(host.banger("doctor", "--json", check=False).stdout)
    return {each["name"]: each for each in document["checks"]}


def test_a_monitor_that_must_not_be_run_is_named_with_its_mend(kept: Host) -> None:
    before = kept.inventory()
    for act, reason in SPOILT.items():
        kept.run(act)
        found = rows(kept)
        assert (found["monitor"]["status"], found["monitor"]["detail"]) == ("fail", f"firecracker: {reason}"), act
        assert found["firecracker"]["detail"].startswith(f"{reason}: "), act
        assert found["monitor"]["mend"] == found["firecracker"]["mend"] == MEND, act
        refused = kept.banger(*RUN, check=False)
        assert refused.status == 125 and reason in refused.stderr and MEND in refused.stderr, refused.stderr
        assert kept.banger("vm", "list", "--quiet").stdout == "", act
        assert kept.left_since(before) == [], act
        put_back(kept)
    assert kept.banger(*RUN, timeout=180).status == 0
    kept.run(f"rm {PROGRAM} && banger system restart", timeout=120)
    assert rows(kept)["monitor"]["detail"] == f"firecracker: {PROGRAM} is not installed"
