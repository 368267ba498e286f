"""A daemon that dies with SIGKILL at every boundary of every change; the next one finishes it or takes it back."""

import json
import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.home import TREE
from tests.matrix.scenarios import DEAR, all_scenarios

WITHOUT_GUEST = [each.name for each in all_scenarios() if not each.guest and each.name not in DEAR]


def play(*arguments: str) -> list[dict[str, object]]:
    """Every combination of a scene; fails with those that left something."""
    argv = [sys.executable, "-m", "tests.matrix.scene", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=290, cwd=TREE, check=False)
    told: Sequence[dict[str, object]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{told[-1:]} {done.stderr[-3000:]}"
    wrong = [each for each in told if each["faults"]]
    print(f"matrix: {' '.join(arguments)}: {len(told)} combinations, {len(wrong)} with faults")
    text = "\n".join(f"{each['instant']} {each['damage']}: {each['faults']}" for each in wrong)
    assert not wrong, text.replace("\\n", "\n")
    return list(told)


@pytest.mark.parametrize("scenario", WITHOUT_GUEST)
def test_at_every_boundary(scenario: str) -> None:
    assert len(play(scenario, "fake")) >= 8
