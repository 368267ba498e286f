"""Machines' disks on a real host: device-mapper snapshots and clones by the root helper's operations, and their ends.

Each scene is a program that runs in the box as root (`roots_scene`): no guest is booted, the box plays all parts.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance import strategy_promises
from tests.smoke import roots_scene
from tests.smoke.host.box import Host

PLACE = "/root/scenes"
PROGRAM = f"{PLACE}/roots_scene.py"


@pytest.fixture
def scenes(host: Host) -> Iterator[Host]:
    """The box, with the program in it."""
    host.run(["mkdir", PLACE])
    for module in (roots_scene, strategy_promises):
        path = Path(str(module.__file__))
        host.put(path, f"{PLACE}/{path.name}")
    yield host
    host.run(["rm", "-r", PLACE])


@pytest.mark.parametrize("name", roots_scene.SCENES)
def test_scene(scenes: Host, name: str) -> None:
    scenes.run(["/opt/banger/bin/python", PROGRAM, name], timeout=240)
