"""Attacks by whiteouts: they remove what older layers have inside the image, and nothing else."""

from pathlib import Path

import pytest

from tests.guest_images import Tar
from tests.security.archive_mutations import entry
from tests.security.layer_scene import accepted, build, read, refused

LOWER = Tar().directory("etc").file("etc/passwd", b"root").symlink("s", "etc").file("f", b"1").bytes()
WHOLE = {b"etc", b"etc/passwd", b"s", b"f"}


@pytest.mark.parametrize("name", [".wh.", "d/.wh.", ".wh..", ".wh...", "d/.wh..", "d/.wh..."])
def test_whiteout_of_the_root_itself_or_a_parent(tmp_path: Path, name: str) -> None:
    refused(tmp_path, Tar().file("d/x").bytes(), Tar().file(name).bytes(), reason="a whiteout of nothing")


def test_name_below_a_whiteout(tmp_path: Path) -> None:
    refused(tmp_path, Tar().file(".wh.d/x").bytes(), reason="below a whiteout")


def test_whiteout_through_a_symlink_out_of_the_root(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("here")
    build(tmp_path, Tar().symlink("out", str(tmp_path)).bytes(), Tar().file("out/.wh.victim").bytes())
    assert victim.read_text() == "here"


def test_opaque_root_hides_all_older_layers(tmp_path: Path) -> None:
    build(tmp_path, Tar().file("a").file("d/b").bytes(), Tar().file("c").file(".wh..wh..opq").bytes())
    assert set(read(tmp_path)) == {b"", b"c"}


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"5", b"6"])
def test_whiteout_of_another_type(tmp_path: Path, kind: bytes) -> None:
    """Some writers ship whiteouts as hard links to what is not there; the name alone decides."""
    assert set(accepted(tmp_path, LOWER, entry(b".wh.f", kind=kind, linkname=b"missing"))) == WHOLE - {b"f"}


def test_whiteout_of_what_the_same_layer_adds(tmp_path: Path) -> None:
    for layer in (Tar().file(".wh.f").file("f", b"2"), Tar().file("f", b"2").file(".wh.f")):
        assert accepted(tmp_path, LOWER, layer.bytes())[b"f"].data == b"2"


def test_whiteout_of_a_whiteout(tmp_path: Path) -> None:
    layer = Tar().file(".wh..wh.f").file(".wh..wh..wh..opq").file(".wh..wh.plnk/1.2").bytes()
    assert set(accepted(tmp_path, LOWER, layer)) == WHOLE


def test_whiteout_of_a_directory_that_comes_back(tmp_path: Path) -> None:
    layer = Tar().file(".wh.etc").file("etc/new", b"1").bytes()
    assert set(accepted(tmp_path, LOWER, layer)) == {b"etc", b"etc/new", b"s", b"f"}


def test_whiteout_of_a_symlink_spares_what_it_leads_to(tmp_path: Path) -> None:
    assert set(accepted(tmp_path, LOWER, Tar().file(".wh.s").bytes())) == WHOLE - {b"s"}


def test_whiteout_below_a_file(tmp_path: Path) -> None:
    assert set(accepted(tmp_path, LOWER, Tar().file("f/.wh.x").file("missing/.wh.x").bytes())) == WHOLE


def test_whiteout_as_overlayfs_has_it(tmp_path: Path) -> None:
    """A device 0:0 is no whiteout in a layer; as a device it takes the place of the file, and is left out."""
    assert set(accepted(tmp_path, LOWER, entry(b"f", kind=b"3"))) == WHOLE - {b"f"}


@pytest.mark.parametrize(("where", "gone"), [("f", set()), ("missing", set()), ("s", {b"etc/passwd"})])
def test_opaque_on_what_is_no_directory(tmp_path: Path, where: str, gone: set[bytes]) -> None:
    """On a file and on nothing it does nothing; through a link it acts inside the image, as extracting would."""
    assert set(accepted(tmp_path, LOWER, Tar().file(f"{where}/.wh..wh..opq").bytes())) == WHOLE - gone


def test_opaque_on_a_directory_that_the_same_layer_makes_of_a_symlink(tmp_path: Path) -> None:
    layer = Tar().directory("s").file("s/.wh..wh..opq").file("s/x", b"1").bytes()
    found = accepted(tmp_path, LOWER, layer)
    assert set(found) == WHOLE | {b"s/x"} and found[b"s"].kind == "directory"


def test_whiteout_of_lost_and_found(tmp_path: Path) -> None:
    lower = Tar().file("lost+found/x", b"1").bytes()
    assert accepted(tmp_path, lower, Tar().file(".wh.lost+found").bytes()) == {}
