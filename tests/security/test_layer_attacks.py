"""Attacks by archives: each is refused by name, or harmless; nothing is left behind and memory stays bounded."""

import asyncio
import gzip
import io
import os
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from banger import errors
from banger.oci import builder, layer, merge
from banger.oci import header as headers
from banger.oci.build import BuildReport, LayerSource, build_image
from tests.ext4_image import Ext4Image
from tests.guest_images import Tar


def build(directory: Path, *layers: bytes) -> BuildReport:
    sources = []
    for number, data in enumerate(layers):
        path = directory / f"layer{number}"
        path.write_bytes(data)
        sources.append(LayerSource(path=str(path), name=f"sha256:{number}"))
    return build_image(sources, str(directory / "image"), size=64 << 20, seed="attack")


def refused(directory: Path, *layers: bytes, reason: str) -> str:
    """The printable name of the entry that was refused for ``reason``."""
    with pytest.raises(errors.UnsafeLayer, match=reason) as caught:
        build(directory, *layers)
    assert caught.value.message.isprintable()
    assert not (directory / "image").exists()
    assert f"sha256:{len(layers) - 1}" in caught.value.message
    return str(caught.value.data["entry"])


def corrupt(directory: Path, data: bytes, reason: str) -> None:
    with pytest.raises(errors.CorruptBlob, match=reason) as caught:
        build(directory, data)
    assert caught.value.message.isprintable()
    assert not (directory / "image").exists()


def header(change: Callable[[bytearray], None], data: bytes = b"", kind: bytes = tarfile.REGTYPE) -> bytes:
    """A one-entry archive whose header was changed, with a right checksum."""
    info = tarfile.TarInfo("entry")
    info.type, info.size = kind, len(data)
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    change(block)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + data.ljust(-(-len(data) // 512) * 512, b"\0") + bytes(1024)


def pax(records: bytes, following: bytes) -> bytes:
    return header(lambda block: None, records, tarfile.XHDTYPE)[:-1024] + following


# -- names ------------------------------------------------------------------------------------------------------------


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
    Ext4Image(tmp_path / "image", tmp_path).check()


def test_terminal_escapes_in_a_name(tmp_path: Path) -> None:
    shown = refused(tmp_path, Tar().file("../\x1b]0;owned\x07\n").bytes(), reason="a name with")
    assert "\\x1b" in shown


def test_file_as_the_root(tmp_path: Path) -> None:
    refused(tmp_path, Tar().file("./").bytes(), reason="the root can only be a directory")


# -- links ------------------------------------------------------------------------------------------------------------


def test_symlink_out_of_the_root_and_a_file_through_it(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    build(tmp_path, Tar().symlink("out", str(outside)).file("out/planted", b"1").bytes())
    assert list(outside.iterdir()) == []
    found = Ext4Image(tmp_path / "image", tmp_path).read()
    assert os.fsencode(str(outside)[1:] + "/planted") in found


@pytest.mark.parametrize("target", ["..", "../x", "a/../../x", "./../.."])
def test_relative_symlink_above_the_root(tmp_path: Path, target: str) -> None:
    assert refused(tmp_path, Tar().symlink("l", target).bytes(), reason="lies above the root") == "l"


def test_symlink_swapped_for_a_directory_between_layers(tmp_path: Path) -> None:
    lower = Tar().directory("d").file("d/f", b"1").directory("etc").file("etc/passwd", b"root").bytes()
    upper = Tar().symlink("d", "/etc").file("d/passwd", b"new").bytes()
    build(tmp_path, lower, upper)
    found = Ext4Image(tmp_path / "image", tmp_path).read()
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


def test_more_hard_links_than_an_inode_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert merge.LINK_LIMIT == 65_000
    monkeypatch.setattr(merge, "LINK_LIMIT", 100)
    archive = Tar().file("a")
    for number in range(100):
        archive.hardlink(f"l/{number}", "a")
    refused(tmp_path, archive.bytes(), reason="too many hard links")


# -- whiteouts --------------------------------------------------------------------------------------------------------


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
    assert set(Ext4Image(tmp_path / "image", tmp_path).read()) == {b"", b"c"}


# -- numbers that lie -------------------------------------------------------------------------------------------------


def test_entry_that_claims_eight_exbibytes(tmp_path: Path) -> None:
    def claim(block: bytearray) -> None:
        block[124:136] = b"\x80\0\0\0" + struct.pack(">Q", 1 << 63)

    assert refused(tmp_path, header(claim), reason="it claims a size of 9223372036854775808 bytes") == "entry"


def test_negative_size(tmp_path: Path) -> None:
    def claim(block: bytearray) -> None:
        block[124:136] = b"\xff" * 12

    refused(tmp_path, header(claim), reason="it claims a size of -1 bytes")


@pytest.mark.parametrize("record", [b"11 size=-5\n", b"13 mtime=nan\n", b"12 uid=1e99\n", b"13 size=0x10\n"])
def test_pax_numbers_that_are_none(tmp_path: Path, record: bytes) -> None:
    refused(tmp_path, pax(record, Tar().file("x").bytes()), reason="malformed (number|time)")


@pytest.mark.parametrize("record", [b"9 a=b\n", b"999999 a=b\n", b"x a=b\n", b"-6 a=b\n", b"6 a_b\n", b"0 a=b\n", b"6"])
def test_pax_records_whose_length_lies(tmp_path: Path, record: bytes) -> None:
    corrupt(tmp_path, pax(record, Tar().file("x").bytes()), "a PAX header is not well formed")


def test_extended_header_without_end(tmp_path: Path) -> None:
    def claim(block: bytearray) -> None:
        block[124:136] = b"77777777777\0"

    corrupt(tmp_path, header(claim, kind=tarfile.XHDTYPE), "an extended header of 8589934591 bytes")


def test_owner_that_cannot_exist(tmp_path: Path) -> None:
    refused(tmp_path, pax(b"18 uid=4294967295\n", Tar().file("x").bytes()), reason="cannot exist")


def test_size_that_lies_about_what_follows(tmp_path: Path) -> None:
    def claim(block: bytearray) -> None:
        block[124:136] = b"00000100000\0"

    corrupt(tmp_path, header(claim, b"short"), "ends in the middle of an entry")


def test_wrong_checksum(tmp_path: Path) -> None:
    data = bytearray(Tar().file("x").bytes())
    data[0] ^= 1
    corrupt(tmp_path, bytes(data), "checksum is wrong")


def test_unknown_type(tmp_path: Path) -> None:
    refused(tmp_path, header(lambda block: None, kind=b"Z"), reason="unknown type")


@pytest.mark.parametrize("numbers", ["10,5,0,5", "0,5,3,5", "0,99", "5", "0,-5", "x,1", "99999999999999999999,1"])
def test_sparse_maps_that_lie(tmp_path: Path, numbers: str) -> None:
    records = {"GNU.sparse.major": "0", "GNU.sparse.map": numbers, "GNU.sparse.size": "20"}
    refused(tmp_path, Tar().file("s", b"0123456789", pax_headers=records).bytes(), reason="sparse|number")


def test_sparse_file_of_many_exbibytes(tmp_path: Path) -> None:
    records = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 62)}
    refused(tmp_path, Tar().file("s", b"0", pax_headers=records).bytes(), reason="sparse")


def test_attributes_that_no_inode_holds(tmp_path: Path) -> None:
    records = {"SCHILY.xattr.user.big": "x" * 5000}
    refused(tmp_path, Tar().file("x", pax_headers=records).bytes(), reason="attributes are too large")


def test_malformed_access_control_list(tmp_path: Path) -> None:
    records = {"SCHILY.xattr.system.posix_acl_access": "nonsense"}
    refused(tmp_path, Tar().file("x", pax_headers=records).bytes(), reason="malformed access control list")


# -- streams ----------------------------------------------------------------------------------------------------------


def test_truncated_gzip(tmp_path: Path) -> None:
    whole = gzip.compress(Tar().file("x", os.urandom(50_000)).bytes())
    for end in (len(whole) - 1, len(whole) - 8, len(whole) // 2, 30, 5):
        corrupt(tmp_path, whole[:end], "ends early")


def test_wrong_checksum_of_gzip(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(Tar().file("x", os.urandom(50_000)).bytes()))
    whole[-6] ^= 1
    corrupt(tmp_path, bytes(whole), "damaged")


def test_truncated_zstd(tmp_path: Path) -> None:
    from backports import zstd

    whole = zstd.compress(Tar().file("x", os.urandom(50_000)).bytes())
    corrupt(tmp_path, whole[:-3], "ends early")


def test_garbage_behind_gzip(tmp_path: Path) -> None:
    corrupt(tmp_path, gzip.compress(Tar().file("x").bytes()) + b"garbage", "something follows")


def test_zeros_and_members_behind_gzip(tmp_path: Path) -> None:
    data = Tar().file("x", b"1").file("y", b"2").bytes()
    build(tmp_path, gzip.compress(data[:700]) + gzip.compress(data[700:]) + bytes(5000))
    assert set(Ext4Image(tmp_path / "image", tmp_path).read()) == {b"", b"x", b"y"}


def test_something_that_is_no_archive(tmp_path: Path) -> None:
    corrupt(tmp_path, bytes(range(1, 256)) * 16, "checksum")


# -- bombs ------------------------------------------------------------------------------------------------------------


def zeros_as_file(size: int) -> bytes:
    """A gzip whose archive holds one file of ``size`` zeros."""
    info = tarfile.TarInfo("zeros")
    info.size = size
    packer = zlib.compressobj(1, wbits=31)
    parts = [packer.compress(info.tobuf(tarfile.GNU_FORMAT))]
    mebibyte = bytes(1 << 20)
    parts += [packer.compress(mebibyte) for _ in range(size >> 20)]
    parts += [packer.compress(bytes(1024)), packer.flush()]
    return b"".join(parts)


def test_decompression_bomb_takes_no_memory_and_no_disk(tmp_path: Path) -> None:
    (tmp_path / "bomb").write_bytes(zeros_as_file(256 << 20))
    report = asyncio.run(
        builder.build_in_child([LayerSource(path=str(tmp_path / "bomb"), name="b")], str(tmp_path / "image"), seed="s")
    )
    assert report.content == 256 << 20
    assert report.allocated < 4 << 20


def test_too_many_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer, "ENTRY_LIMIT", 100)
    archive = Tar()
    for number in range(101):
        archive.file(f"f{number}")
    assert refused(tmp_path, archive.bytes(), reason="too many entries") == "f100"


def test_too_much_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer, "DATA_LIMIT", 1000)
    refused(tmp_path, Tar().file("a", b"x" * 600).file("b", b"x" * 600).bytes(), reason="too much data")


def test_too_many_implied_directories(tmp_path: Path) -> None:
    archive = Tar()
    for number in range(200):
        archive.file(f"{number}/" + "d/" * 1900 + "f")
    refused(tmp_path, archive.bytes(), reason="too many directories that no entry names")


def test_memory_that_runs_out_ends_the_child_alone(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for number in range(8_000):
            archive.addfile(tarfile.TarInfo(f"{number}" + "n" * 200))
    (tmp_path / "layer").write_bytes(buffer.getvalue())
    source = LayerSource(path=str(tmp_path / "layer"), name="l")
    with pytest.raises(errors.BuildFailed, match="more memory than a build may have"):
        asyncio.run(builder.build_in_child([source], str(tmp_path / "image"), seed="s", memory=52 << 20))
    assert not (tmp_path / "image").exists()


def test_limits_are_those_that_are_documented() -> None:
    assert (layer.ENTRY_LIMIT, layer.DATA_LIMIT, headers.HEADER_LIMIT) == (1 << 20, 256 << 30, 1 << 20)
