"""Attacks by numbers: sizes, owners, times and maps that lie or that nothing can hold."""

import struct
import tarfile
from pathlib import Path

import pytest

from tests.ext4_image import Ext4Image
from tests.guest_images import Tar
from tests.security.archive_mutations import BLOCK, entry, padded, record
from tests.security.layer_scene import accepted, build, corrupt, header, pax, refused

SECOND = 1_000_000_000
LARGEST = (1 << 32) * 4096 - 1


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


def test_pax_size_that_differs_from_the_headers(tmp_path: Path) -> None:
    """An archive hidden in a file's data must never be read as entries (CVE-2025-62518)."""
    hidden = padded(entry(b"planted", b"evil")[:BLOCK] + b"evil")
    size = record(b"size", b"%d" % len(hidden))
    outer = entry(b"pax", size, b"x") + entry(b"outer") + hidden + entry(b"last")
    found = accepted(tmp_path, outer)
    assert set(found) == {b"outer", b"last"} and found[b"outer"].data == hidden


def test_pax_size_of_what_has_no_data(tmp_path: Path) -> None:
    entries = b"".join(
        entry(b"e%c" % kind, kind=bytes([kind]), linkname=b"last", records=record(b"size", b"512")) for kind in b"256"
    )
    assert set(accepted(tmp_path, entries + entry(b"last"))) == {b"e2", b"e5", b"last"}


def test_pax_records_given_twice(tmp_path: Path) -> None:
    records = record(b"uid", b"1") + record(b"path", b"../x") + record(b"uid", b"2") + record(b"path", b"good")
    found = accepted(tmp_path, entry(b"x", b"1", records=records))
    assert {name: file.uid for name, file in found.items()} == {b"good": 2}


def test_pax_records_for_all_entries(tmp_path: Path) -> None:
    layer = entry(b"pax", record(b"uid", b"7"), b"g") + entry(b"a") + entry(b"b", records=record(b"uid", b"8"))
    found = accepted(tmp_path, layer + entry(b"c"))
    assert [found[name].uid for name in (b"a", b"b", b"c")] == [7, 8, 7]


def test_pax_records_of_a_megabyte(tmp_path: Path) -> None:
    assert set(accepted(tmp_path, entry(b"x", records=record(b"comment", b"c" * 1_000_000)))) == {b"x"}
    corrupt(tmp_path, entry(b"x", records=record(b"comment", b"c" * (1 << 20))), "an extended header of")


def test_extended_headers_without_end_and_for_all_entries(tmp_path: Path) -> None:
    many = b"".join(entry(b"pax", record(b"k%d" % at, b"v" * 900_000), b"x") for at in range(3))
    corrupt(tmp_path, many + entry(b"x"), "an extended header of")
    large = b"".join(record(b"SCHILY.xattr.user.%d" % at, b"v" * 20) for at in range(200))
    corrupt(tmp_path, entry(b"pax", large, b"g") + entry(b"x"), "for all entries are too large")


def test_map_of_a_sparse_file_without_lines(tmp_path: Path) -> None:
    records = record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.realsize", b"90")
    for data in (b"1" * (8 << 20), b"0" * 30 + b"1\n0\n1\n", b"999999999\n0\n", b"-1\n", b"1\n0\n", b"2\n0\n5\n"):
        refused(tmp_path, entry(b"s", padded(data), records=records), reason="malformed (map|number)|does not fit")


def test_map_of_more_segments_than_are_read(tmp_path: Path) -> None:
    count = (1 << 17) + 1
    lines = b"%d\n" % count + b"0\n0\n" * count
    records = record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.realsize", b"90")
    refused(tmp_path, entry(b"s", padded(lines), records=records), reason="malformed map")


def test_sparse_file_of_many_segments_and_of_the_largest_size(tmp_path: Path) -> None:
    pairs = [(at * 8192, 1) for at in range(2000)]
    lines = b"%d\n" % len(pairs) + b"".join(b"%d\n%d\n" % pair for pair in pairs)
    records = record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.realsize", b"%d" % (2000 * 8192))
    layer = entry(b"many", padded(lines) + b"x" * 2000, records=records)
    assert accepted(tmp_path, layer)[b"many"].data == (b"x" + bytes(8191)) * 2000
    records = record(b"GNU.sparse.map", b"0,1,%d,1" % (LARGEST - 1)) + record(b"GNU.sparse.size", b"%d" % LARGEST)
    report = build(tmp_path, entry(b"huge", b"ab", records=records))
    assert report.allocated < 8 << 20
    Ext4Image(tmp_path / "image", tmp_path).check()


def test_sparse_map_of_what_is_no_file(tmp_path: Path) -> None:
    records = record(b"GNU.sparse.map", b"0,0") + record(b"GNU.sparse.size", b"1000000")
    layer = entry(b"d", kind=b"5", records=records) + entry(b"s", kind=b"2", linkname=b"d", records=records)
    found = accepted(tmp_path, layer)
    assert {name: file.kind for name, file in found.items()} == {b"d": "directory", b"s": "symlink"}


@pytest.mark.parametrize("owner", [b"4294967295", b"4294967296", b"99999999999999999999", b"9" * 21, b"-1", b""])
def test_owners_that_cannot_exist(tmp_path: Path, owner: bytes) -> None:
    for key in (b"uid", b"gid"):
        refused(tmp_path, entry(b"x", records=record(key, owner)), reason="cannot exist|malformed number")


def test_owners_of_base_256_that_cannot_exist(tmp_path: Path) -> None:
    for field in (b"\xff" * 8, b"\x80\0\0\0\xff\xff\xff\xff", b"\x80" + b"\xff" * 7):
        refused(tmp_path, entry(b"x", uid=field), reason="cannot exist")
    assert accepted(tmp_path, entry(b"x", gid=b"\x80\0\0\0\xff\xff\xff\xfe"))[b"x"].gid == (1 << 32) - 2


def test_times_that_no_inode_holds(tmp_path: Path) -> None:
    earliest, latest = -(1 << 31) * SECOND, ((1 << 34) - (1 << 31)) * SECOND - 1
    layer = entry(b"early", records=record(b"mtime", b"-99999999999.5")) + entry(b"late", mtime=b"\x80" + b"\xff" * 11)
    layer += entry(b"before", mtime=b"\xff" + bytes(11)) + entry(b"fine", records=record(b"mtime", b"-1.25"))
    layer += entry(b"exact", records=record(b"mtime", b"1.99999999999999"))
    found = accepted(tmp_path, layer)
    assert {name: file.mtime for name, file in found.items()} == {
        b"early": earliest, b"late": latest, b"before": earliest, b"fine": -1_250_000_000, b"exact": 1_999_999_999,
    }  # fmt: skip


def test_modes_of_more_bits_than_there_are(tmp_path: Path) -> None:
    layer = entry(b"f", mode=b"7777777\0") + entry(b"d", kind=b"5", mode=b"\xff" * 8) + entry(b"n", mode=b"100644 \0")
    assert {name: file.mode for name, file in accepted(tmp_path, layer).items()} == {
        b"f": 0o7777, b"d": 0o7777, b"n": 0o644,
    }  # fmt: skip


def test_devices_with_numbers_that_no_kernel_has(tmp_path: Path) -> None:
    layer = bytearray(entry(b"device", kind=b"3") + entry(b"block", kind=b"4") + entry(b"f"))
    for at in (0, BLOCK):
        layer[at + 329 : at + 345] = b"\xff" * 16
        layer[at + 148 : at + 156] = b" " * 8
        layer[at + 148 : at + 156] = b"%06o\0 " % sum(layer[at : at + BLOCK])
    assert build(tmp_path, bytes(layer)).skipped == 2
