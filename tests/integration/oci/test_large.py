"""Long files, and what images take on the disk; other tools change what was written."""

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from banger.oci.build import LayerSource, build_image
from tests.ext4_image import Ext4Image
from tests.guest_images import Tar, compress

GIB = 1 << 30


def image_of(directory: Path, data: bytes, size: int | None = None) -> Ext4Image:
    (directory / "layer").write_bytes(data)
    build_image(
        [LayerSource(path=str(directory / "layer"), name="l")], str(directory / "image"), seed="large", size=size
    )
    image = Ext4Image(directory / "image", directory)
    image.check()
    return image


def ask(image: Ext4Image, *requests: str) -> str:
    """What debugfs answers, with the image open for writing."""
    return subprocess.run(
        ["/sbin/debugfs", "-w", "-f", "-", image.path], input="\n".join(requests) + "\n", text=True, check=True,
        capture_output=True, timeout=120,
    ).stdout  # fmt: skip


def test_a_sparse_file_of_more_than_four_gibibytes(tmp_path: Path) -> None:
    size = 5 * GIB + 12345
    records = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.size": str(size)}
    records["GNU.sparse.map"] = f"0,5,{4 * GIB + 4096},4,{size - 3},3"
    image = image_of(tmp_path, Tar().file("big", b"startfourend", pax_headers=records).bytes())
    assert f"Size: {size}" in ask(image, "stat /big")
    assert os.stat(image.path).st_blocks * 512 < 8 << 20
    for offset, expected in ((0, "start"), (4 * GIB + 4096, "four"), (size - 3, "end")):
        block, inside = divmod(offset, 4096)
        where = int(ask(image, f"bmap /big {block}").splitlines()[-1].split()[-1])
        with open(image.path, "rb") as file:
            file.seek(where * 4096 + inside)
            assert file.read(len(expected)).decode() == expected


def test_a_file_whose_archive_holds_more_than_four_gibibytes(tmp_path: Path) -> None:
    """Five gibibytes of zeros with a byte at either end, packed member by member."""
    info = tarfile.TarInfo("big")
    info.size = 5 * GIB
    whole = bytes(64 << 20)
    zeros, first = compress(whole, "zstd"), compress(b"1" + whole[1:], "zstd")
    last = compress(whole[1:] + b"2" + bytes(1024), "zstd")
    count = 5 * GIB // len(whole)
    head = compress(info.tobuf(tarfile.GNU_FORMAT), "zstd")
    image = image_of(tmp_path, b"".join((head, first, *[zeros] * (count - 2), last)))
    stat = ask(image, "stat /big", f"bmap /big {5 * GIB // 4096 - 1}")
    assert f"Size: {5 * GIB}" in stat and "Blockcount: 256" in stat  # a unit of 64 KiB at either end


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_an_image_takes_little_more_than_its_content(tmp_path: Path, compression: str) -> None:
    layer = Tar()
    sizes = [4096 * count + odd for count in range(40) for odd in (1, 2000, 4000, 4096)]
    for number, size in enumerate(sizes):
        layer.file(f"d{number % 7}/f{number}", os.urandom(size))
    layer.file("large", os.urandom(48 << 20))
    image = image_of(tmp_path, compress(layer.bytes(), compression), size=GIB)
    blocks = sum(-(-size // 4096) * 4096 for size in [*sizes, 48 << 20])
    assert os.stat(image.path).st_blocks * 512 < blocks * 1.05


def test_debugfs_edits_it(tmp_path: Path) -> None:
    image = image_of(tmp_path, Tar().directory("etc").file("etc/old", b"old").bytes(), size=64 << 20)
    (tmp_path / "new").write_bytes(b"new" * 5000)
    ask(image, "cd /etc", f"write {tmp_path}/new new", "rm old", "symlink link new", "mkdir d")
    image.check()
    found = image.read()
    assert found[b"etc/new"].data == b"new" * 5000 and found[b"etc/link"].data == b"new"
    assert b"etc/old" not in found and found[b"etc/d"].kind == "directory"
