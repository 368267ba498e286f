"""Attacks by links: nothing outside the image is reached, and what is accepted is what extracting would have made."""

import itertools
import os
from pathlib import Path

import pytest

from tests.ext4_image import Ext4Image
from tests.guest_images import Tar
from tests.security.archive_mutations import entry
from tests.security.layer_scene import accepted, build, read, refused

KINDS = {
    "regular": entry(b"x", b"data"),
    "directory": entry(b"x", kind=b"5"),
    "symlink": entry(b"x", kind=b"2", linkname=b"other"),
    "link": entry(b"x", kind=b"1", linkname=b"other"),
    "fifo": entry(b"x", kind=b"6"),
}


def test_symlink_out_of_the_root_and_a_file_through_it(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    build(tmp_path, Tar().symlink("out", str(outside)).file("out/planted", b"1").bytes())
    assert list(outside.iterdir()) == []
    found = read(tmp_path)
    assert os.fsencode(str(outside)[1:] + "/planted") in found


@pytest.mark.parametrize("target", ["..", "../x", "a/../../x", "./../.."])
def test_relative_symlink_above_the_root(tmp_path: Path, target: str) -> None:
    assert refused(tmp_path, Tar().symlink("l", target).bytes(), reason="lies above the root") == "l"


def test_symlink_swapped_for_a_directory_between_layers(tmp_path: Path) -> None:
    lower = Tar().directory("d").file("d/f", b"1").directory("etc").file("etc/passwd", b"root").bytes()
    upper = Tar().symlink("d", "/etc").file("d/passwd", b"new").bytes()
    build(tmp_path, lower, upper)
    found = read(tmp_path)
    assert set(found) == {b"", b"d", b"etc", b"etc/passwd"}
    assert found[b"etc/passwd"].data == b"new"


def test_symlink_loop_in_the_parents(tmp_path: Path) -> None:
    loop = Tar().symlink("a", "b").symlink("b", "a").file("a/x").bytes()
    refused(tmp_path, loop, reason="too many symbolic links")


def test_symlink_chain_beyond_forty(tmp_path: Path) -> None:
    chain = Tar().directory("l0")
    for number in range(41):
        chain.symlink(f"l{number + 1}", f"l{number}")
    refused(tmp_path, chain.file("l41/x").bytes(), reason="too many symbolic links")


@pytest.mark.parametrize("target", ["", "t" * 4096])
def test_symlink_with_an_impossible_target(tmp_path: Path, target: str) -> None:
    refused(tmp_path, Tar().symlink("l", target).bytes(), reason="a target of 1 to 4095 bytes")


def test_hard_link_to_nothing(tmp_path: Path) -> None:
    assert refused(tmp_path, Tar().hardlink("l", "missing").bytes(), reason="which does not exist") == "l"


def test_hard_link_to_a_later_file(tmp_path: Path) -> None:
    refused(tmp_path, Tar().hardlink("l", "later").file("later").bytes(), reason="which does not exist")


def test_hard_link_out_of_the_root(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    refused(tmp_path, Tar().hardlink("l", str(secret)).bytes(), reason="which does not exist")
    refused(tmp_path, Tar().hardlink("l", "../secret").bytes(), reason=r"a name with '\.\.'")


def test_hard_link_to_a_directory(tmp_path: Path) -> None:
    refused(tmp_path, Tar().directory("d").hardlink("d/l", "d").bytes(), reason="to the directory d")


def test_hard_link_to_a_file_that_this_layer_removed(tmp_path: Path) -> None:
    lower = Tar().file("a", b"1").bytes()
    refused(tmp_path, lower, Tar().file(".wh.a").hardlink("b", "a").bytes(), reason="which does not exist")


def test_more_hard_links_than_an_inode_has(tmp_path: Path) -> None:
    links = b"".join(entry(b"l%d" % number, kind=b"1", linkname=b"a") for number in range(64_999))
    build(tmp_path, entry(b"a", b"1") + links)
    image = Ext4Image(tmp_path / "image", tmp_path)
    image.check()
    assert "Links: 65000" in image.stat("l64998")
    (tmp_path / "image").unlink()
    one_more = entry(b"last", kind=b"1", linkname=b"l7")
    assert refused(tmp_path, entry(b"a", b"1") + links + one_more, reason="too many hard links") == "last"


def test_hard_link_to_itself(tmp_path: Path) -> None:
    assert refused(tmp_path, Tar().hardlink("a", "a").bytes(), reason="which does not exist") == "a"
    found = accepted(tmp_path, Tar().file("a", b"1").bytes(), Tar().hardlink("a", "a").bytes())
    assert (found[b"a"].data, found[b"a"].links) == (b"1", 1)


def test_hard_links_in_a_circle(tmp_path: Path) -> None:
    refused(tmp_path, Tar().hardlink("a", "b").hardlink("b", "a").bytes(), reason="which does not exist")


def test_hard_link_over_the_directory_that_holds_its_target(tmp_path: Path) -> None:
    found = accepted(tmp_path, Tar().file("d/f", b"1").bytes(), Tar().hardlink("d", "d/f").bytes())
    assert {name: (file.data, file.links) for name, file in found.items()} == {b"d": (b"1", 1)}


@pytest.mark.parametrize("target", ["", ".", "./", "d/.."])
def test_hard_link_to_the_root(tmp_path: Path, target: str) -> None:
    layer = Tar().directory("d").hardlink("l", target).bytes()
    refused(tmp_path, layer, reason=r"which does not exist|a name with '\.\.'")


def test_chain_of_hard_links_across_layers(tmp_path: Path) -> None:
    layers = [Tar().file("l0", b"data").bytes()]
    layers += [Tar().hardlink(f"l{at}", f"l{at - 1}").file(f".wh.l{at - 2}").bytes() for at in range(1, 8)]
    found = accepted(tmp_path, *layers)
    assert set(found) == {b"l6", b"l7"} and found[b"l6"].inode == found[b"l7"].inode
    assert (found[b"l7"].data, found[b"l7"].links) == (b"data", 2)


def test_hard_link_through_a_symlink_out_of_the_root(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    out = Tar().symlink("out", str(tmp_path)).bytes()
    refused(tmp_path, out, Tar().hardlink("l", "out/secret").bytes(), reason="which does not exist")


def test_hard_link_to_a_symlink_is_not_followed(tmp_path: Path) -> None:
    found = accepted(tmp_path, Tar().symlink("s", "/etc/shadow").hardlink("l", "s").bytes())
    assert found[b"l"].kind == "symlink" and found[b"l"].inode == found[b"s"].inode


def test_symlink_made_over_another_to_climb_out(tmp_path: Path) -> None:
    """Each link is harmless where it is spelled, the second not where it lies (CVE-2020-27833)."""
    layer = Tar().directory("sub").symlink("sub/up", "..").symlink("sub/up/l", "../etc/passwd").bytes()
    assert refused(tmp_path, layer, reason="lies above the root") == "sub/up/l"


def test_symlink_chain_of_forty_is_followed(tmp_path: Path) -> None:
    chain = Tar().directory("l0")
    for number in range(40):
        chain.symlink(f"l{number + 1}", f"l{number}")
    assert accepted(tmp_path, chain.file("l40/x", b"1").bytes())[b"l0/x"].data == b"1"


def test_longest_symlink(tmp_path: Path) -> None:
    target = "t" * 4095
    assert accepted(tmp_path, Tar().symlink("l", target).bytes())[b"l"].data == target.encode()


@pytest.mark.parametrize("together", [False, True])
def test_directory_swapped_for_a_symlink_and_written_through(tmp_path: Path, together: bool) -> None:
    """In one layer and in two: what was below the directory is gone, what comes later lies behind the link."""
    lower = Tar().file("d/old", b"1").file("real/f", b"2").bytes()
    if together:
        upper = [Tar().symlink("d", "real").file("d/f", b"3").bytes()]
    else:
        upper = [Tar().symlink("d", "real").bytes(), Tar().file("d/f", b"3").bytes()]
    found = accepted(tmp_path, lower, *upper)
    assert {name: file.data for name, file in found.items()} == {b"d": b"real", b"real": b"", b"real/f": b"3"}


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize(("first", "second"), list(itertools.product(KINDS, repeat=2)))
def test_two_entries_of_one_name(tmp_path: Path, first: str, second: str, split: bool) -> None:
    """In every order, in one layer and in two: the last one wins, and nothing of the first is left."""
    base = entry(b"other", b"o")
    below = entry(b"x/below", b"b") if first == "directory" else b""
    one, two = base + KINDS[first] + below, KINDS[second]
    found = accepted(tmp_path, one, two) if split else accepted(tmp_path, one + two)
    expected = {b"other": "regular", b"x": second}
    if second == "fifo":
        del expected[b"x"]
    elif second == "link":
        expected[b"x"] = "regular"
        assert found[b"x"].inode == found[b"other"].inode and found[b"other"].links == 2
    elif first == second == "directory":
        expected[b"x/below"] = "regular"
    assert {name: file.kind for name, file in found.items()} == expected
