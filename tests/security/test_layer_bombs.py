"""Attacks by sheer size: a small layer must take neither the memory, the disk nor the hours of the host."""

import asyncio
import gzip
import io
import os
import struct
import tarfile
import zlib
from pathlib import Path

import pytest

from banger import errors
from banger.disk.ext4 import htree, volume
from banger.oci import builder, layer, tree
from banger.oci import header as headers
from banger.oci.build import BuildReport, LayerSource
from tests.ext4_image import Ext4Image
from tests.guest_images import Tar
from tests.security.archive_mutations import entry, header, record
from tests.security.layer_scene import accepted, corrupt, refused, sources


def in_child(directory: Path, *layers: bytes, memory: int) -> BuildReport:
    """As `build`, as the product does it: in a process that may have so much address space."""
    made = builder.build_in_child(sources(directory, layers), str(directory / "image"), seed="attack", memory=memory)
    return asyncio.run(made)


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


def empty_files(path: Path, count: int) -> LayerSource:
    """A gzip of ``count`` empty files, a thousand to a directory that no entry names."""
    plain = header(b"", b"0", 0)
    least = int(plain[148:154], 8)
    packer = zlib.compressobj(1, wbits=31)
    with path.open("wb") as file:
        for first in range(0, count, 1000):
            names = [b"d%04d/f%03d" % divmod(number, 1000) for number in range(first, min(first + 1000, count))]
            blocks = [
                name.ljust(100, b"\0") + plain[100:148] + b"%06o" % (least + sum(name)) + plain[154:] for name in names
            ]
            file.write(packer.compress(b"".join(blocks)))
        file.write(packer.compress(bytes(1024)) + packer.flush())
    return LayerSource(path=str(path), name="sha256:0")


def test_decompression_bomb_takes_no_memory_and_no_disk(tmp_path: Path) -> None:
    report = in_child(tmp_path, zeros_as_file(512 << 20), memory=400 << 20)
    assert report.content == 512 << 20
    assert report.allocated < 4 << 20


def test_too_many_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer, "ENTRY_LIMIT", 100)
    archive = Tar()
    for number in range(101):
        archive.file(f"f{number}")
    assert refused(tmp_path, archive.bytes(), reason="too many entries") == "f100"


def test_a_million_empty_files(tmp_path: Path) -> None:
    layer_of_many = empty_files(tmp_path / "many", 1_000_000)
    made = builder.build_in_child([layer_of_many], str(tmp_path / "image"), seed="attack", memory=2 << 30)
    report = asyncio.run(made)
    assert report.inodes == 1_000_000 + 1000 + 2
    assert report.allocated < 400 << 20
    image = Ext4Image(tmp_path / "image", tmp_path)
    image.check()
    assert int(image.header()["Inode count"]) - int(image.header()["Free inodes"]) == report.inodes + 9


def test_one_file_more_than_is_allowed(tmp_path: Path) -> None:
    too_many = empty_files(tmp_path / "many", layer.ENTRY_LIMIT + 1)
    with pytest.raises(errors.UnsafeLayer, match="too many entries") as refusal:
        asyncio.run(builder.build_in_child([too_many], str(tmp_path / "image"), seed="attack", memory=2 << 30))
    assert refusal.value.data["entry"] == "d1048/f576"
    assert os.listdir(tmp_path) == ["many"]


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
    with pytest.raises(errors.BuildFailed, match="more memory than a build may have"):
        in_child(tmp_path, buffer.getvalue(), memory=52 << 20)
    assert not (tmp_path / "image").exists()


def test_limits_are_those_that_are_documented() -> None:
    assert (layer.ENTRY_LIMIT, layer.DATA_LIMIT, headers.HEADER_LIMIT) == (1 << 20, 256 << 30, 1 << 20)
    assert (layer.INFLATED_LIMIT, tree.STEP_LIMIT, tree.HOPS) == (512 << 30, 1 << 25, 40)


def test_a_hundred_thousand_files_in_one_directory(tmp_path: Path) -> None:
    """Their hashes collide by chance; forty-eight more of 255 bytes collide on purpose and fill several blocks."""
    hashed = [b"h" * 224 + middle + b"z" * 19 for middle in COLLIDING]
    names = [b"%05d" % number for number in range(100_000)] + hashed
    report = in_child(
        tmp_path,
        b"".join(header(b"d/" + name[:98], b"0", 0) for name in names[:100_000])
        + b"".join(entry(b"x", records=record(b"path", b"d/" + name)) for name in hashed),
        memory=400 << 20,
    )
    assert report.inodes == len(names) + 3
    image = Ext4Image(tmp_path / "image", tmp_path)
    image.check()
    assert {name for name in image.names() if name.startswith(b"d/")} == {b"d/" + name for name in names}


def test_names_that_collide_do_so(tmp_path: Path) -> None:
    """The table below is only an attack while the writer hashes as it did when the table was made."""
    seed = struct.unpack("<4I", volume.named_uuid("attack directory hash"))
    names = [b"h" * 224 + middle + b"z" * 19 for middle in COLLIDING]
    assert len(set(names)) == 48 and len({major for major, _ in htree.name_hashes(names, seed).values()}) == 1


def test_short_names_that_lead_through_very_long_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a limit, a million whiteouts behind forty links of four thousand bytes take hours."""
    monkeypatch.setattr(tree, "STEP_LIMIT", 1 << 19)
    lower = Tar().directory("a")
    for number in range(40):
        lower.symlink(f"l{number}", (f"l{number - 1}/" if number else "/") + "a/../" * 800 + ".")
    upper = Tar()
    for number in range(100):
        upper.file(f"l38/.wh.{number}")
    refused(tmp_path, lower.bytes(), upper.bytes(), reason="too many steps")


def test_data_that_belongs_to_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries that mean nothing, and what follows the end, inflate without becoming a file."""
    monkeypatch.setattr(layer, "INFLATED_LIMIT", 4 << 20)
    for data in (entry(b".wh..wh.x", bytes(5 << 20)), bytes(5 << 20)):
        corrupt(tmp_path, gzip.compress(entry(b"x") + data), "inflate to too much")
    assert set(accepted(tmp_path, gzip.compress(entry(b"x") + bytes(3 << 20)))) == {b"x"}


def test_entries_that_mean_nothing_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer, "ENTRY_LIMIT", 100)
    refused(tmp_path, entry(b".wh..wh.x") * 101, reason="too many entries")


COLLIDING = b"""
aaaaaaaaaaaa aaafhpbbdifc aaaphbhbbcdf aaadebnbpjmd aaaljomcpeei aaahbopcemeg aaapfhddjpcf
aaaloodeailo aaaagnhfhffm aaafnboghldd aaabafdhnlmh aaahgohhladj aaafipgiobmf aaaknjiinkhc
aaaeiaoiddfj aaaolopimjep aaabmdejnkap aaafiidkigdp aaaokpdknlfa aaagpclkjhgc aaalipdlplhp
aaafeilmnbdp aaabnbdnpjnk aaacegdnolik aaakmldodogp aaajmieomojd aaabihnoijmo aaapbbookjmm
aaaliimpnhdh aabhoalabffg aaboenoamncp aabcljbbmmck aabfamiciaio aabdfmcdgnfe aabdjdedniaa
aabnjledplgm aabebmfdnhnk aabobkbeklmd aabnnbpefilm aabbjiafibnp aabgmelfafdk aabcompfpjeg
aabdibngoimc aabipcpghacl aabgolehnmci aablofcifdif aablkbdieaac aabipibjcgio
""".split()
"""What lies between 224 times h and 19 times z in names of one half-MD4 hash, for the seed ``attack``."""
