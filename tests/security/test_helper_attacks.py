"""The root helper under attack by its owner's account; judged by what it does, not by what it says.

``BANGER_ATTACKS`` is the number of requests: some thousands by default, 100,000 in ``make attacks``.
"""

import json
import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.root, pytest.mark.timeout(7200)]

REQUESTS = int(os.environ.get("BANGER_ATTACKS", "3000"))
SEED = int(os.environ.get("BANGER_ATTACK_SEED", "20"))
NAMESPACES = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]


def test_nothing_happens_outside_the_gates() -> None:
    argv = [*NAMESPACES, sys.executable, "-m", "tests.security.helper_scene", str(REQUESTS), str(SEED)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=7000, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    report = json.loads(done.stdout)
    print(json.dumps(report, indent=1))
    assert report["violations"] == []
    assert report["changed"] == {}
    assert report["crashes"] == [], "an error of the helper's own is not a refusal"
    assert report["unperformed"] == [], "what is right is done, whatever else is asked"
    assert sum(report["answers"].values()) >= REQUESTS
    assert min(report["answers"].values()) > 0, "every kind of answer was met"
    assert {"helper.ping", "store.fill", "rules.apply"} <= set(report["valid"])
    assert report["calls"] > REQUESTS and report["programs"]["ip"] > 0, "the witness was there"
    assert report["swaps"] > 100
    assert report["grown"] < 1024, "KiB"
    assert report["last"]["values"] == 1 and report["status"] == 0
