"""Machines' disks on a real host: device-mapper snapshots and clones by the root helper's operations, and their ends.

Each scene is a program that runs in the box as root (`roots_scene`): no guest is booted, the box plays all parts.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.smoke import roots_scene
from tests.smoke.host.box import Host

PROGRAM = "/root/roots_scene.py"


@pytest.fixture
def scenes(host: Host) -> Iterator[Host]:
    """The box, with the program in it."""
    host.put(Path(roots_scene.__file__), PROGRAM)
    yield host
    host.run(["rm", PROGRAM])


@pytest.mark.parametrize("name", roots_scene.SCENES)
def test_scene(scenes: Host, name: str) -> None:
    scenes.run(["/opt/banger/bin/python", PROGRAM, name], timeout=240)
