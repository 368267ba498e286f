"""Which growing file is whose: only a size that no other layer's file can have counts, or that it ends with."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.oci.arrival import PARTIAL, Arrival
from banger.oci.layer import LayerSource

MIB = 1 << 20


class Scene:
    """Two layers that are missing, of 5 and of 3 MiB, and the pipe on which the seed comes."""

    def __init__(self, directory: Path) -> None:
        self.staging = directory / "staging"
        self.staging.mkdir()
        self.large, self.small = (
            LayerSource(path=str(directory / name), name=name, digest=name, size=size)
            for name, size in (("large", 5 * MIB), ("small", 3 * MIB))
        )
        reading, self.writing = os.pipe()
        self.source = open(reading, "rb")  # noqa: SIM115 - closed by the fixture
        self.arrival = Arrival(self.source, str(self.staging), [self.large, self.small])

    def grow(self, name: str, size: int) -> None:
        path = self.staging / name
        path.touch()
        os.truncate(path, size)

    def found(self, layer: LayerSource) -> int | None:
        """The size of the file that is a layer's."""
        file = self.arrival.growing(layer)
        if file is None:
            return None
        with file:
            return os.fstat(file.fileno()).st_size


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.source.close()
    os.close(made.writing)


def test_a_file_that_could_become_either_is_nobodys(scene: Scene) -> None:
    scene.grow(f"{PARTIAL}1", 3 * MIB - 1)
    scene.grow(f"{PARTIAL}2", 2 * MIB)
    assert scene.found(scene.large) is None and scene.found(scene.small) is None


def test_one_of_just_the_size_is_the_layers_unless_another_has_that_too(scene: Scene) -> None:
    scene.grow(f"{PARTIAL}1", 3 * MIB)
    scene.grow(f"{PARTIAL}2", 2 * MIB)
    assert scene.found(scene.small) == 3 * MIB and scene.found(scene.large) is None
    same = scene.small._replace(path=scene.small.path + "2", digest="same")
    arrival = Arrival(scene.source, str(scene.staging), [scene.large, scene.small, same])
    assert arrival.growing(scene.small) is None and arrival.growing(same) is None


def test_one_that_is_larger_than_all_others_is_the_largests(scene: Scene) -> None:
    scene.grow(f"{PARTIAL}1", 2 * MIB)
    scene.grow(f"{PARTIAL}2", 3 * MIB + 1)
    assert scene.found(scene.large) == 3 * MIB + 1 and scene.found(scene.small) is None


def test_what_is_whole_does_not_count_and_other_files_neither(scene: Scene) -> None:
    Path(scene.large.path).touch()
    os.truncate(scene.large.path, 5 * MIB)
    scene.grow("something-else", 2 * MIB)
    scene.grow(f"{PARTIAL}1", MIB)
    assert scene.found(scene.small) is None
    scene.grow(f"{PARTIAL}1", MIB + 1)
    assert scene.found(scene.small) == MIB + 1 and scene.found(scene.large) == 5 * MIB


def test_a_file_of_the_name_and_another_size_is_no_layer(scene: Scene) -> None:
    Path(scene.large.path).write_bytes(b"x")
    assert scene.found(scene.large) is None


def test_the_seed_may_come_in_pieces_and_then_nothing_is_waited_for(scene: Scene) -> None:
    os.write(scene.writing, b'"sha25')
    assert not scene.arrival.heard()
    os.write(scene.writing, b'6:0"\n')
    assert scene.arrival.heard() and scene.arrival.seed() == "sha256:0"
    with pytest.raises(FileNotFoundError):
        scene.arrival.open(scene.large)
