"""A daemon that dies with SIGKILL at every boundary of making or removing an image; the next one finds no trace."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import guest_images
from tests.guest_images import Tar
from tests.home import TREE, passable
from tests.integration.images.test_registered import make as make_rootfs
from tests.registry import Registry

WORDS = {
    "pull": ("before commit running", "after commit running build", "before rename", "record insert", "before fsync",
             "after the start of skopeo", "after the start of python", "progress", "after commit done"),
    "replace": ("before commit running", "before link", "before rename", "record replace", "after commit done"),
    "import": ("before commit running", "before makedirs", "after the start of python", "after commit done"),
    "directory": ("before commit running", "before makedirs", "after the start of python", "after commit done"),
    "register": ("before commit running", "before makedirs", "before prlimit", "after the start of prlimit",
                 "after the start of e2fsck", "record insert", "after commit done"),
    "promote": ("before commit running", "before makedirs", "before prlimit", "after the start of prlimit",
                "before rename", "record replace", "record insert", "after commit done"),
    "suite": ("before commit running", "after the start of mmdebstrap", "before stage unpacking the essential packages",
              "before stage the recipe's files", "before stage command 1 of 1", "before stage writing the archive",
              "after the start of python", "before rename", "record insert", "after commit done"),
    "delete": ("before record delete", "before rename", "before rmtree", "after commit done"),
}  # fmt: skip
"""Some boundaries that a run must have met, as a sign that the hooks still hold."""

PATIENT = 880
"""Seconds for a scene, which its test may limit further: where mmdebstrap runs again and again it takes minutes."""

SUITE = pytest.param("suite", marks=[pytest.mark.slow, pytest.mark.timeout(PATIENT + 20)])


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A place for a scene, with what its images are made of: a reference, an archive, a directory, a file system."""
    layers = [Tar().file("a", os.urandom(300_000)).file("b").bytes(), Tar().file(".wh.b").file("c", b"1").bytes()]
    with passable(tmp_path, always=True) as place:
        (place / "reference").write_text(guest_images.write_layout(place / "layout", layers))
        (place / "archive.tar").write_bytes(layers[0])
        (place / "tree/etc").mkdir(parents=True)
        (place / "tree/etc/content").write_bytes(os.urandom(300_000))
        make_rootfs(place / "rootfs.ext4", place / "tree")
        yield place


@pytest.fixture
def registry(directory: Path) -> Iterator[None]:
    """Pull from a registry instead, so that the image is written while its layers come."""
    with Registry(directory) as running:
        pushed = running.push((directory / "reference").read_text(), "demo/small:one")
        (directory / "reference").write_text(pushed)
        yield


def play(scene: str, *arguments: str, namespace: tuple[str, ...] = ()) -> list[str]:
    """What a scene says of itself."""
    done = subprocess.run(
        [*namespace, sys.executable, "-m", f"tests.integration.images.{scene}", *arguments],
        capture_output=True, text=True, timeout=PATIENT, cwd=TREE,
        env={**os.environ, "PYTHONPATH": f"{TREE}/src:{TREE}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    said: list[str] = json.loads(done.stdout)
    print(f"{scene} {' '.join(arguments[1:])}: {len(said)} times")
    return said


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("kind", [*(each for each in WORDS if each != "suite"), SUITE])
def test_a_daemon_that_dies_at_every_boundary_of_a_change(directory: Path, kind: str) -> None:
    boundaries = play("death_scene", str(directory), kind)
    for word in WORDS[kind]:
        assert any(word in each for each in boundaries), (word, boundaries)


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("kind", ["pull", "replace", "import", "directory", "promote", SUITE])
def test_a_change_that_is_cancelled_at_every_second_boundary(directory: Path, kind: str) -> None:
    boundaries = play("cancel_scene", str(directory), kind)
    steps = {each.rpartition(" ")[2] for each in boundaries if "commit running" in each}
    assert {"copy" if kind == "promote" else "build", "publish"} <= steps


@pytest.mark.parametrize(
    ("kind", "place", "kibibytes"),
    [
        ("pull", "cache", 64), ("import", "state", 96), ("replace", "state", 16), ("bundle", "state", 96),
        ("promote", "state", 64), ("register", "state", 32), ("make-bundle", "made", 192), ("suite", "state", 2048),
    ],
)  # fmt: skip
def test_a_disk_that_is_full_at_every_stage(directory: Path, kind: str, place: str, kibibytes: int) -> None:
    """Of the cache; of the database, the staging area and the images together; or of where a bundle is made."""
    ends = play(
        "full_scene", str(directory), kind, place, str(kibibytes << 10), namespace=("unshare", "-Urm", "--map-auto")
    )
    assert ends.count("full") > 2 and ends[-1] == "done"
