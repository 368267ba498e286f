"""The installed helper, attacked by its owner's account and by somebody else's while a machine runs.

``BANGER_ATTACKS`` is the number of requests; what they are, and what judges them, is in tests/security.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.helper import registry
from tests.home import TREE
from tests.smoke.host.box import Host
from tests.smoke.host.image import OTHER
from tests.smoke.machines import boot_id, show

REQUESTS = int(os.environ.get("BANGER_ATTACKS", "300"))
SEED = int(os.environ.get("BANGER_ATTACK_SEED", "20"))
LIMIT = 300 + REQUESTS

PLACE, PYTHON = "/opt/scene", "/opt/banger/bin/python"
FILES = (
    "__init__.py", "smoke/attack_scene.py",
    *(f"security/helper_{each}.py" for each in ("attacker", "gates", "machines", "requests", "witness")),
)  # fmt: skip
KNOCK = "import socket, sys; sys.exit(socket.socket(socket.AF_UNIX).connect_ex('/run/banger-root/bangerd-root.sock'))"
OF_MACHINES = {
    *(f"machine.{each}" for each in ("launch", "inspect", "connect", "metrics", "contain", "signal", "sweep")),
    *("snapshot.create", "snapshot.check", "disk.attach", "disk.remove", "ext4.write", "ext4.read"),
}  # fmt: skip
REFUSED = 13
"""EACCES."""


@pytest.fixture
def scene(serving: Host, tmp_path: Path) -> Iterator[Host]:
    """The box with a machine, and with the attacker's programs."""
    programs = tmp_path / "scene"  # pytest's own directory is nobody else's to read
    for name in FILES:
        (programs / "tests" / name).parent.mkdir(parents=True, exist_ok=True)
        (programs / "tests" / name).write_bytes((TREE / "tests" / name).read_bytes())
    serving.put(programs, PLACE)
    yield serving
    serving.run(["rm", "-r", PLACE])


@pytest.mark.timeout(LIMIT + 300, func_only=True)
def test_nothing_happens_outside_the_gates(scene: Host) -> None:
    before, boot, pid = scene.inventory(), boot_id(scene, "one"), show(scene, "one")["pid"]
    assert scene.run([PYTHON, "-c", KNOCK], user=OTHER, check=False).status == REFUSED
    done = scene.run(
        [PYTHON, "-B", "-m", "tests.smoke.attack_scene", "/etc/banger/install.json", str(REQUESTS), str(SEED)],
        cwd=PLACE,
        env={"PYTHONPATH": PLACE, "PYTHONDONTWRITEBYTECODE": "1"},
        timeout=LIMIT,
    )
    report = json.loads(done.stdout)
    print(json.dumps(report, indent=1))
    assert report["violations"] == []
    assert report["changed"] == []
    assert report["crashes"] == [], "an error of the helper's own is not a refusal"
    assert report["unperformed"] == [], "what is right is done, whatever else is asked"
    assert sum(report["answers"].values()) > REQUESTS
    assert min(report["answers"].values()) > 0, "every kind of answer was met"
    assert report["open"] == [] and set(report["gates"]) == set(registry.BY_NAME), "each operation has a list"
    assert report["lives"] > 1 and set(report["valid"]) >= OF_MACHINES, "its own machine was there to be named"
    assert {"helper.ping", "store.fill", "rules.apply"} <= set(report["valid"])
    assert report["calls"] > REQUESTS and report["programs"]["ip"] > 0, "the witness was there"
    assert report["same"] and report["grown"] < 1024, "KiB"
    assert (show(scene, "one")["pid"], boot_id(scene, "one")) == (pid, boot)
    assert scene.banger("run", "--rm", "--image", "busybox", "--", "true", timeout=180).status == 0
    # the owner may set the rules as he likes: what was taken from them came back with the next machine
    assert scene.inventory().gone_since(before, standing=False) == []
