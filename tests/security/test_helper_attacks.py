"""The root helper under attack by its owner's account; judged by what it does, not by what it says.

``BANGER_ATTACKS`` is the number of requests: some thousands by default, 100,000 in ``make attacks``.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from banger.helper import registry
from tests.helper_server import wait_for
from tests.jails import hierarchy

pytestmark = [pytest.mark.root, pytest.mark.timeout(7200)]

REQUESTS = int(os.environ.get("BANGER_ATTACKS", "2000"))
SEED = int(os.environ.get("BANGER_ATTACK_SEED", "20"))
NAMESPACES = ["unshare", "--cgroup", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
ENTER = 'echo $$ > "$0/cgroup.procs"; exec "$@"'
REAP = ["sh", "-c", '"$@"; exit $?', "init"]
"""The first process of a host collects what others leave."""


@pytest.fixture(scope="module")
def report() -> Iterator[dict[str, Any]]:
    """What came of the attack, in a control group of its own."""
    group = hierarchy() / f"banger-attack-{os.getpid()}"
    group.mkdir()
    argv = ["sh", "-c", ENTER, str(group), *NAMESPACES, *REAP, sys.executable, "-m", "tests.security.helper_scene"]
    try:
        done = subprocess.run(
            [*argv, str(REQUESTS), str(SEED)], capture_output=True, text=True, timeout=7000, check=False
        )
    finally:
        remove(group)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout)
    print(json.dumps({name: value for name, value in found.items() if name != "gates"}, indent=1))
    yield found


def remove(group: Path) -> None:
    """A control group with all below it, as soon as what was in it has ended."""
    (group / "cgroup.kill").write_text("1")
    for path, _, _ in os.walk(group, topdown=False):
        wait_for(lambda path=path: "populated 0" in Path(path, "cgroup.events").read_text())
        os.rmdir(path)


def test_each_gate_is_shut(report: dict[str, Any]) -> None:
    assert set(report["gates"]) == set(registry.BY_NAME), "each operation has a list"
    assert [row for rows in report["gates"].values() for row in rows if row[-1]] == []


def test_nothing_happens_outside_the_gates(report: dict[str, Any]) -> None:
    assert report["violations"] == []
    assert report["changed"] == {}
    assert report["crashes"] == [], "an error of the helper's own is not a refusal"
    assert report["unperformed"] == [], "what is right is done, whatever else is asked"
    assert sum(report["answers"].values()) >= REQUESTS
    assert min(report["answers"].values()) > 0, "every kind of answer was met"
    assert {"helper.ping", "store.fill", "rules.apply"} <= set(report["valid"])
    assert {f"machine.{each}" for each in ("launch", "inspect", "connect", "contain", "signal")} <= set(report["valid"])
    assert report["lives"] >= REQUESTS // 200 and report["ended"] > 0, "its own machine was there to be named"
    assert report["bystander"], "a machine whose process and slot are named, and whose id is not, lives"
    assert report["calls"] > REQUESTS and report["programs"]["ip"] > 0, "the witness was there"
    assert report["swaps"] > 100
    assert report["grown"] < 1024, "KiB"
    assert report["last"]["values"] == 1 and report["status"] == 0
