"""How far a pull is, by the files that it writes."""

from pathlib import Path

import pytest

from banger import errors
from banger.oci.cache import Cache
from banger.oci.manifest import Descriptor
from banger.oci.meter import Meter


class Scene:
    def __init__(self, directory: Path, *sizes: int) -> None:
        self.cache = Cache(str(directory / "cache"))
        self.cache.prepare()
        self.staging = directory / "staging"
        self.staging.mkdir()
        self.blobs = [Descriptor(f"sha256:{number:064x}", size) for number, size in enumerate(sizes)]
        self.told: list[tuple[int, int | None]] = []

    def meter(self, blobs: list[Descriptor] | None) -> Meter:
        return Meter(self.cache, blobs, lambda stage, done, total: self.told.append((done, total)))

    def come(self, number: int) -> None:
        Path(self.cache.path(self.blobs[number])).write_bytes(bytes(self.blobs[number].size))

    def partial(self, size: int) -> None:
        (self.staging / "oci-put-blob1").write_bytes(bytes(size))

    def look(self, meter: Meter) -> tuple[int, int | None]:
        meter.look(str(self.staging))
        return self.told[-1]


def test_only_what_was_missing_is_counted_and_never_backwards(tmp_path: Path) -> None:
    scene = Scene(tmp_path, 100, 200, 300)
    scene.come(0)
    meter = scene.meter([*scene.blobs, scene.blobs[1]])  # one layer twice, as empty ones often are
    assert (meter.missing(), scene.look(meter)) == (2, (0, 500))
    scene.partial(150)
    assert scene.look(meter) == (150, 500)
    scene.come(1)
    (scene.staging / "oci-put-blob1").unlink()
    assert (meter.missing(), scene.look(meter)) == (1, (200, 500))
    scene.partial(250)
    assert scene.look(meter) == (450, 500)
    scene.partial(10)  # the connection broke, and it began anew
    assert scene.look(meter) == (450, 500)
    meter.finish()
    assert scene.told[-1] == (500, 500)


def test_without_a_total_it_counts_what_comes(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    meter = scene.meter(None)
    scene.partial(70)
    assert scene.look(meter) == (70, None)
    meter.finish()
    assert scene.told[-1] == (70, None)


def test_more_than_was_promised_ends_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path, 100)
    meter = scene.meter(scene.blobs)
    scene.partial(100 + (2 << 20))
    with pytest.raises(errors.CorruptBlob, match="more arrives"):
        scene.look(meter)


def test_what_no_disk_holds_is_not_begun(tmp_path: Path) -> None:
    scene = Scene(tmp_path, 1 << 46)
    with pytest.raises(errors.DiskFull):
        scene.meter(scene.blobs)


def test_a_file_of_the_right_name_and_another_size_is_missing(tmp_path: Path) -> None:
    scene = Scene(tmp_path, 100)
    Path(scene.cache.path(scene.blobs[0])).write_bytes(b"x")
    assert scene.meter(scene.blobs).missing() == 1
