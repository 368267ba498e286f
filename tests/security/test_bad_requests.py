"""Thousands of requests that a generator makes of the interface's own description: none is a fault of the daemon's.

``BANGER_BAD_REQUESTS`` is their number: some hundreds by default, 10,000 in ``make requests``.
"""

import json
import os
import time
from pathlib import Path

import pytest

from tests.home import Home, make_home, passable
from tests.security.bad_requests import PATIENCE, attack, begin

REQUESTS = int(os.environ.get("BANGER_BAD_REQUESTS", "250"))
SEED = int(os.environ.get("BANGER_BAD_REQUESTS_SEED", "5"))


def held(pid: int) -> tuple[int, int]:
    """Descriptors and threads of the daemon, which may use as many as asyncio lends it before it has."""
    lent = 1 + min(32, (os.cpu_count() or 1) + 4)
    return len(os.listdir(f"/proc/{pid}/fd")), max(lent, len(os.listdir(f"/proc/{pid}/task")))


def kept(home: Home) -> set[str]:
    """What there is of images, kernels, work in progress, downloads, sockets and temporary files."""
    roots = (home.paths.images, home.paths.kernels, home.paths.staging, home.paths.cache, home.paths.runtime)
    found = {str(each) for root in roots for each in Path(root).rglob("*")}
    return found | {str(each) for each in Path(home.env["TMPDIR"]).rglob("*")}


def ended(home: Home) -> None:
    """Everything deleted that requests have made or left."""
    for name in home.banger("vm", "list", "-q", check=True).stdout.split():
        home.banger("vm", "delete", name, check=True)


@pytest.mark.timeout(7200)
def test_generated_requests_meet_no_fault_no_hang_and_leave_nothing(tmp_path: Path) -> None:
    with passable(tmp_path) as directory, make_home(directory) as home:
        (directory / "tmp").mkdir()
        home.env["TMPDIR"] = str(directory / "tmp")
        begin(home)
        status = home.banger("daemon", "status", "--json", check=True).json()
        assert isinstance(status, dict)
        attack(home, 1, SEED + 1000, 2)  # the daemon has loaded what it loads, and its threads are there
        ended(home)
        files = kept(home)
        before = held(status["pid"])
        sender = attack(home, REQUESTS, SEED, min(25, max(5, REQUESTS // 50)))
        print(f"seed {SEED}: {sum(sender.statuses.values())} requests, {json.dumps(sorted(sender.statuses.items()))}")
        assert not sender.faults, "\n".join(sender.faults)
        assert {200, 202, 400, 404, 409} <= set(sender.statuses), "every kind of answer was met"
        ended(home)
        limit = time.monotonic() + PATIENCE
        while held(status["pid"])[0] > before[0] and time.monotonic() < limit:
            time.sleep(0.1)  # connections that were left are on their way out
        assert held(status["pid"]) <= before
        after = home.banger("daemon", "status", "--json", check=True).json()
        assert isinstance(after, dict)
        assert (after["pid"], after["running"]) == (status["pid"], 0), "it is the daemon that it was"
        assert os.listdir(home.paths.vms) == []
        assert sorted(kept(home) - files) == [], "nothing else has come"
        assert sender.send("GET", "/v1/vms").document == {"vms": []}
