"""Attacks by the names of a layer's entries: refused by name, or kept to the byte and harmless."""

from pathlib import Path

import pytest

from tests.ext4_image import Ext4Image
from tests.guest_images import Tar
from tests.security.archive_mutations import entry, header, padded, record
from tests.security.layer_scene import accepted, build, pax, refused


@pytest.mark.parametrize("name", ["../x", "a/../../x", "a/..", "..", "./../x", "a//../x"])
def test_traversal(tmp_path: Path, name: str) -> None:
    assert refused(tmp_path, Tar().file(name).bytes(), reason=r"a name with '\.\.'") == name


@pytest.mark.parametrize("name", ["/etc/passwd", "//x", "/"])
def test_absolute_names(tmp_path: Path, name: str) -> None:
    refused(tmp_path, Tar().file(name).bytes(), reason="an absolute name")


def test_zero_byte_in_a_name(tmp_path: Path) -> None:
    data = pax(b"15 path=ab\0c/d\n", Tar().file("x").bytes())
    refused(tmp_path, data, reason="a name with a zero byte")


def test_component_that_is_too_long(tmp_path: Path) -> None:
    refused(tmp_path, Tar().file("a/" + "n" * 256).bytes(), reason="more than 255 bytes")


def test_path_that_is_too_long(tmp_path: Path) -> None:
    refused(tmp_path, Tar().file("a/" * 2047 + "abc").bytes(), reason="more than 4096 bytes")


def test_deepest_path_that_is_allowed(tmp_path: Path) -> None:
    assert build(tmp_path, Tar().file("a/" * 2047 + "ab").bytes()).inodes == 2047 + 3
    image = Ext4Image(tmp_path / "image", tmp_path)
    image.check()
    assert "Type: regular" in image.stat("a/" * 2047 + "ab")


def test_terminal_escapes_in_a_name(tmp_path: Path) -> None:
    shown = refused(tmp_path, Tar().file("../\x1b]0;owned\x07\n").bytes(), reason="a name with")
    assert "\\x1b" in shown


def test_file_as_the_root(tmp_path: Path) -> None:
    refused(tmp_path, Tar().file("./").bytes(), reason="the root can only be a directory")


@pytest.mark.parametrize("kind", [b"0", b"1", b"2", b"3", b"4", b"6", b"7"])
@pytest.mark.parametrize("name", [b".", b"./.", b"./", b""])
def test_root_that_is_no_directory(tmp_path: Path, kind: bytes, name: bytes) -> None:
    """A link in the place of the root once led umoci out of it (CVE-2021-29136)."""
    lower = Tar().file("etc/passwd", b"root").bytes()
    refused(tmp_path, lower, entry(name, kind=kind, linkname=b"etc"), reason="the root can only be a directory")


def test_names_of_all_bytes_are_kept(tmp_path: Path) -> None:
    names = [
        b"new\nline",
        b"qu\"ot'e",
        b"back\\slash",
        b"..\\..\\up",
        b"C:\\x",
        b"\xff\xfe\x80",
        b"\x1b[31m",
        b"\x7f\x01",
        b" ",
        b"...",
        b"-rf",
        b"$(id)",
        b"%s%n",
        b"\xe2\x80\xae",
        "\u00e9".encode(),
        "e\u0301".encode(),
    ]
    found = accepted(tmp_path, b"".join(entry(name, name) for name in names))
    assert {name: file.data for name, file in found.items()} == {name: name for name in names}


def test_name_that_goes_on_behind_a_zero_byte(tmp_path: Path) -> None:
    assert set(accepted(tmp_path, entry(b"seen\0/../../hidden"))) == {b"seen"}


def test_longest_component(tmp_path: Path) -> None:
    assert set(accepted(tmp_path, Tar().file("n" * 255).bytes())) == {b"n" * 255}


def test_two_thousand_directories_in_each_other(tmp_path: Path) -> None:
    layer = Tar()
    for depth in range(1, 2001):
        layer.directory("d/" * depth, 0o700)
    assert build(tmp_path, layer.bytes()).inodes == 2000 + 2
    image = Ext4Image(tmp_path / "image", tmp_path)
    image.check()
    assert "Mode:  0700" in image.stat("d/" * 1999 + "d")


def test_pax_name_that_differs_from_the_headers(tmp_path: Path) -> None:
    assert refused(tmp_path, entry(b"fine", records=record(b"path", b"../x")), reason=r"a name with '\.\.'") == "../x"
    refused(tmp_path, entry(b"fine", records=record(b"path", b"/etc/x")), reason="an absolute name")
    assert set(accepted(tmp_path, entry(b"../x", records=record(b"path", b"fine")))) == {b"fine"}


def test_ustar_prefix_that_leads_out(tmp_path: Path) -> None:
    layer = bytearray(entry(b"x"))
    layer[345:347] = b".."
    layer[148:156] = b"%06o\0 " % (sum(layer[:148]) + sum(layer[156:512]) + 256)
    assert refused(tmp_path, bytes(layer), reason=r"a name with '\.\.'") == "../x"


def test_gnu_long_names_and_their_bombs(tmp_path: Path) -> None:
    def long(kind: bytes, name: bytes) -> bytes:
        return header(b"././@LongLink", kind, len(name)) + padded(name)

    refused(tmp_path, long(b"L", b"../" + b"a" * 200) + entry(b"x"), reason=r"a name with '\.\.'")
    refused(tmp_path, long(b"L", b"a/" * 500_000) + entry(b"x"), reason="more than 4096 bytes")
    refused(tmp_path, long(b"K", b"t" * 5000) + entry(b"x", kind=b"2"), reason="a target of 1 to 4095 bytes")
    refused(tmp_path, long(b"K", b"../s") + entry(b"x", kind=b"1"), reason=r"a name with '\.\.'")
    assert set(accepted(tmp_path, long(b"L", b"one") + long(b"L", b"two") + entry(b"x"))) == {b"two"}
