"""A daemon that dies with SIGKILL at every boundary of making or removing an image; the next one finds no trace."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import guest_images
from tests.guest_images import Tar
from tests.home import TREE

WORDS = {
    "pull": ("before commit running", "after commit running build", "before rename", "record insert", "after the start of setpriv",
             "after the start of python", "before fsync", "progress", "after commit done"),
    "replace": ("before commit running", "before link", "before rename", "record replace", "after commit done"),
    "import": ("before commit running", "before makedirs", "after the start of python", "after commit done"),
    "delete": ("before record delete", "before rename", "before rmtree", "after commit done"),
}  # fmt: skip
"""Some boundaries that a run must have met, as a sign that the hooks still hold."""


@pytest.mark.parametrize("kind", WORDS)
def test_a_daemon_that_dies_at_every_boundary_of_a_change(tmp_path: Path, kind: str) -> None:
    layers = [Tar().file("a", os.urandom(300_000)).file("b").bytes(), Tar().file(".wh.b").file("c", b"1").bytes()]
    guest_images.write_layout(tmp_path / "layout", layers)
    (tmp_path / "archive.tar").write_bytes(layers[0])
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.images.death_scene", str(tmp_path), kind],
        capture_output=True, text=True, timeout=280, cwd=TREE, env={**os.environ, "PYTHONPATH": f"{TREE}/src:{TREE}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    boundaries = json.loads(done.stdout)
    print(f"{kind}: died at {len(boundaries)} boundaries")
    for word in WORDS[kind]:
        assert any(word in each for each in boundaries), (word, boundaries)
