"""Images composed of layers that were read before: the same bytes, without reading; and everything that can be odd."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banger import errors
from banger.disk.ext4.data import DataArea
from banger.disk.ext4.geometry import Geometry
from banger.oci import aside, index
from banger.oci.build import LayerSource, build_image
from banger.oci.layer import Shadow
from tests.digests import named
from tests.ext4_image import Ext4Image, sound
from tests.guest_images import Tar, compress, debian_tar
from tests.integration.oci.test_merge_oracle import Step, packed, stack
from tests.scratch import in_memory


class Place:
    """A directory with layers, images and indexes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.indexes = directory / "indexes"
        self._made = 0

    def layer(self, archive: bytes) -> LayerSource:
        """``archive`` as a gzip layer."""
        self._made += 1
        return named(compress(archive, "gzip"), self.directory / f"layer{self._made}", content=archive)

    def build(self, layers: list[LayerSource], *, indexes: bool = True, size: int | None = 64 << 20) -> Path:
        self._made += 1
        image = self.directory / f"image{self._made}"
        directory = str(self.indexes) if indexes else ""
        build_image(layers, str(image), size=size, seed="composed", indexes=directory, home=str(image))
        sound(image)
        return image


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def unreadable(*layers: LayerSource) -> None:
    """Make the layers' files useless: whoever reads one is told that it is damaged."""
    for layer in layers:
        Path(layer.path).write_bytes(b"")


LOWER = Tar().directory("etc").file("etc/a", os.urandom(300_000)).file("etc/b", b"b" * 5000).hardlink("c", "etc/a")
LOWER.file("holes", b"1" + bytes(400_000) + b"2").file("empty").symlink("etc/l", "a")
LOWER_BYTES = LOWER.bytes()
UPPER = Tar().file("etc/b", b"new").file(".wh.empty").file("more", os.urandom(5_000_000)).bytes()


def test_known_layers_are_not_read(place: Place) -> None:
    lower, upper = place.layer(LOWER_BYTES), place.layer(UPPER)
    direct = place.build([lower, upper], indexes=False)
    first = place.build([lower, upper])
    unreadable(lower, upper)
    composed = place.build([lower, upper])
    assert direct.read_bytes() == first.read_bytes() == composed.read_bytes()
    Ext4Image(composed, place.directory).check()


def test_a_known_base_under_a_new_layer(place: Place) -> None:
    lower, upper = place.layer(LOWER_BYTES), place.layer(UPPER)
    place.build([lower])
    expected = place.build([lower, upper], indexes=False).read_bytes()
    unreadable(lower)
    assert place.build([lower, upper]).read_bytes() == expected


def test_what_the_first_image_hides_is_there_for_the_second(place: Place) -> None:
    lower, upper, other = (place.layer(each) for each in (LOWER_BYTES, UPPER, Tar().file("other").bytes()))
    place.build([lower, upper])  # its etc/b is not that of the lower layer
    expected = [place.build([lower, *above], indexes=False).read_bytes() for above in ([], [other])]
    unreadable(lower)
    assert [place.build([lower, *above]).read_bytes() for above in ([], [other])] == expected
    assert len(list(place.indexes.glob("*.dat"))) == 1


@pytest.mark.parametrize("lost", ["removed", "replaced", "too large"])
def test_what_nobody_has_is_read_again(place: Place, lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lower, upper = place.layer(LOWER_BYTES), place.layer(UPPER)
    if lost == "too large":
        monkeypatch.setattr(aside, "LIMIT", 4096)
    place.build([lower, upper])
    for data in place.indexes.glob("*.dat"):
        data.unlink()
        if lost == "replaced":
            data.write_bytes(bytes(1 << 20))
    assert place.build([lower]).read_bytes() == place.build([lower], indexes=False).read_bytes()
    unreadable(lower)
    assert place.build([lower]).exists(), "the second reading was not remembered"


def changed(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    "oddity",
    ["no index", "empty index", "short index", "changed index", "image gone", "image replaced", "image changed"],
)
def test_what_is_odd_is_read_again(place: Place, oddity: str) -> None:
    layer = place.layer(LOWER_BYTES)
    image = place.build([layer])
    expected = image.read_bytes()
    (kept,) = place.indexes.iterdir()
    match oddity:
        case "no index":
            kept.unlink()
        case "empty index":
            kept.write_bytes(b"")
        case "short index":
            changed(kept, lambda data: data[:-1])
        case "changed index":
            changed(kept, lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:])
        case "image gone":
            image.unlink()
        case "image replaced":
            shutil.copyfile(image, place.directory / "copy")
            os.replace(place.directory / "copy", image)
        case "image changed":
            with image.open("r+b") as file:
                file.write(b"x")
    with pytest.raises(errors.DamagedBlob):
        data = Path(layer.path).read_bytes()
        unreadable(layer)
        place.build([layer])
    Path(layer.path).write_bytes(data)
    assert place.build([layer]).read_bytes() == expected


def test_an_image_that_cannot_be_read_after_all(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = place.layer(LOWER_BYTES)
    image = place.build([layer])
    expected = image.read_bytes()
    monkeypatch.setattr(os, "preadv", lambda *arguments: 0)
    assert place.build([layer]).read_bytes() == expected


def test_what_is_being_copied_ends_with_a_build_that_fails(place: Place) -> None:
    middle = place.layer(Tar().file("large", os.urandom(40 << 20)).bytes())
    place.build([middle], size=None)
    lower = place.layer(LOWER_BYTES)
    unreadable(lower)
    with pytest.raises(errors.DamagedBlob):
        place.build([lower, middle], size=None)
    assert {path.suffix for path in place.indexes.iterdir()} == {".idx"}


@pytest.mark.root
def test_blocks_are_shared_where_the_host_can(tmp_path: Path) -> None:
    subprocess.run(["truncate", "-s", "512M", tmp_path / "disk"], check=True)
    subprocess.run(["mkfs.xfs", "-q", tmp_path / "disk"], check=True, timeout=60)
    (tmp_path / "mounted").mkdir()
    subprocess.run(["/bin/mount", "-o", "loop", tmp_path / "disk", tmp_path / "mounted"], check=True, timeout=60)
    try:
        place = Place(tmp_path / "mounted")
        lower, upper = place.layer(LOWER_BYTES), place.layer(UPPER)
        big = place.layer(Tar().file("big", os.urandom(100 << 20)).bytes())
        first = place.build([lower, big], size=192 << 20)
        before = shutil.disk_usage(place.directory).used
        second = place.build([lower, big, upper], size=192 << 20)
        assert shutil.disk_usage(place.directory).used - before < 30 << 20
        assert second.stat().st_blocks * 512 > 100 << 20
        first.unlink()
        expected = place.build([lower, big, upper], size=192 << 20, indexes=False)
        assert second.read_bytes() == expected.read_bytes()
        Ext4Image(second, tmp_path).check()
    finally:
        subprocess.run(["/bin/umount", tmp_path / "mounted"], check=True, timeout=60)


def test_an_image_may_be_deleted_while_it_is_copied(place: Place) -> None:
    layer = place.layer(LOWER_BYTES)
    image = place.build([layer])
    known = index.Shelf(str(place.indexes), "").find(layer)
    assert known is not None
    image.unlink()
    with tempfile.TemporaryFile() as file:
        area = DataArea(file.fileno(), Geometry(None))
        entries = known.recall(Shadow(), {})
        known.copy(area)
        assert entries is not None
        contents = {entry.path: entry.content for entry in entries if entry.content is not None}
        assert area.read(contents[b"etc/b"], 1 << 20) == b"b" * 5000
        area.close()
    known.close()


def test_no_index_is_kept_of_what_was_not_checked(place: Place) -> None:
    layer = place.layer(LOWER_BYTES)
    place.build([LayerSource(path=layer.path, name="unchecked")])
    place.build([LayerSource(path=layer.path, name="moved", diff_id=layer.diff_id, prefix="p")])
    with pytest.raises(errors.CorruptBlob):
        place.build([LayerSource(path=layer.path, name="lying", diff_id="sha256:" + "0" * 64)])
    assert not place.indexes.exists()


def test_the_limits_hold_for_known_layers(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = place.layer(LOWER_BYTES)
    place.build([layer])
    monkeypatch.setattr("banger.oci.layer.ENTRY_LIMIT", 3)
    with pytest.raises(errors.UnsafeLayer, match="too many entries"):
        place.build([layer])


def test_sweeping(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [place.build([place.layer(Tar().file(name).bytes())]) for name in "abc"]
    (place.indexes / "tmpxyz").write_bytes(b"unfinished")
    images[0].unlink()
    index.sweep(str(place.indexes), os.path.exists)
    kept = sorted(place.indexes.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert len(kept) == 2 and all(path.suffix == ".idx" for path in kept)
    for age, path in enumerate(kept):
        os.utime(path, (age, age))
    monkeypatch.setattr(index, "SIZE_LIMIT", kept[1].stat().st_blocks * 512)
    index.sweep(str(place.indexes), os.path.exists)
    assert list(place.indexes.iterdir()) == kept[1:]
    index.sweep(str(place.directory / "nowhere"), os.path.exists)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(stack, st.integers(0, 3), st.integers(0, 3))
def test_any_stack_composed_is_the_stack_read(layers: list[list[Step]], first: int, second: int) -> None:
    """Images of the first few layers are made before that of all; sometimes one of them is gone by then."""
    with in_memory() as name:
        place = Place(Path(name))
        sources = [place.layer(packed(layer)) for layer in layers]
        try:
            expected = place.build(sources, indexes=False).read_bytes()
            for count in (first, second):
                image = place.build(sources[:count])
            if first > second:
                image.unlink()
        except errors.UnsafeLayer:
            return
        assert place.build(sources).read_bytes() == expected
        assert place.build(sources).read_bytes() == expected


def test_a_real_debian_as_the_base_of_another(place: Place) -> None:
    base = place.layer(debian_tar().read_bytes())
    top = place.layer(Tar().file("usr/bin/tool", os.urandom(100_000), 0o755).file("etc/motd", b"hello").bytes())
    place.build([base], size=None)
    expected = place.build([base, top], indexes=False, size=None)
    unreadable(base)
    composed = place.build([base, top], size=None)
    assert composed.read_bytes() == expected.read_bytes()
    Ext4Image(composed, place.directory).check()
