"""A daemon, or a machine's monitor, that dies with SIGKILL at a boundary of a change; what comes after finishes it or
takes it back, whatever else is damaged."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.home import TREE
from tests.matrix import slices
from tests.matrix.slices import Scene

LIMIT = 21600 if slices.WHOLE else 280
Property = Callable[[str, object], None]


def play(scene: Scene, record_property: Property) -> None:
    """Every combination of a scene; fails with those that left something."""
    argv = [sys.executable, "-m", "tests.matrix.scene", *scene.arguments()]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT, cwd=TREE, check=False)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{told[-1:]} {done.stderr[-3000:]}"
    assert told
    wrong = [each for each in told if each["faults"]]
    record_property("matrix combinations", len(told))
    record_property("matrix combinations with faults", len(wrong))
    record_property("matrix as the seed", slices.SEED)
    text = "\n".join("\n    ".join([f"{each['instant']} {each['damage']}", *each["faults"]]) for each in wrong)
    assert not wrong, text


@pytest.mark.timeout(LIMIT)
@pytest.mark.parametrize("scene", slices.quick(), ids=str)
def test_without_guests(scene: Scene, record_property: Property) -> None:
    play(scene, record_property)


@pytest.mark.qemu
@pytest.mark.timeout(LIMIT)
@pytest.mark.parametrize("scene", slices.guests(), ids=str)
def test_with_guests(scene: Scene, record_property: Property) -> None:
    play(scene, record_property)
