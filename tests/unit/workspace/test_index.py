"""Indexes: what is taken for unchanged, and what is read back."""

from banger.workspace import index
from banger.workspace.listing import Blob, Entry, Tracked

OID = "0123456789abcdef0123456789abcdef01234567"
NOW = 1_700_000_000_000_000_005


def test_an_index_is_read_back_with_names_of_every_length() -> None:
    files = {b"n" * length: Blob(0o100644 + (length % 2) * 0o111, OID) for length in range(1, 80)}
    files |= {b"x" * 5000: Blob(0o120000, OID)}
    for skipped in (frozenset[bytes](), frozenset({b"nnn"})):
        data = index.build(files, {b"n": Entry(0o100644, 7, NOW)}, skipped)
        assert index.load(data) == files
        assert int.from_bytes(data[4:8], "big") == (3 if skipped else 2)


def test_only_what_surely_has_not_changed_is_clean() -> None:
    wanted = {b"f": Blob(0o100644, OID)}
    known = Tracked(0o100644, OID, NOW, 7, False)
    there = Entry(0o100644, 7, NOW)
    later = NOW + 1_000_000_000
    assert index.clean(wanted, {b"f": known}, {b"f": there}, later) == {b"f": there}
    for tracked, entry, written in [
        (None, there, later),  # in conflict
        (known._replace(oid="f" * 40), there, later),  # staged
        (known._replace(mode=0o100755), there, later),
        (known, there._replace(mtime_ns=NOW + 1), later),
        (known, there._replace(size=8), later),
        (known, there._replace(mode=0o100755), later),
        (known, there._replace(mode=0o120777), later),
        (known, there, NOW),  # changed in the moment in which the index was written
    ]:
        assert index.clean(wanted, {b"f": tracked}, {b"f": entry}, written) == {}
    assert index.clean(wanted, {}, {b"f": there}, later) == index.clean(wanted, {b"f": known}, {}, later) == {}


def test_ids_are_gits() -> None:
    assert index.blob_id(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert index.blob_id(b"", "sha256").startswith("473a0f4c3be8a93681a267e3b1e9a7dc")
