"""The same content gives the same bundle, and every header is one that others read."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from banger.bundles import manifest, pack, unpack


def sparse(path: Path, size: int = 3 << 20) -> None:
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(1 << 20)
        file.write(b"in the middle")


def test_place_time_and_number_of_processors_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for processors, name in ((1, "one"), (3, "another")):
        directory = tmp_path / name
        directory.mkdir()
        sparse(directory / name)
        os.utime(directory / name, (processors, processors))
        os.chmod(directory / name, 0o600 + processors)
        monkeypatch.setattr(os, "cpu_count", lambda found=processors: found)
        packed = pack.pack(b"{}", [("rootfs.ext4", str(directory / name))], str(directory / "bundle"))
        assert os.path.getsize(packed.path) == packed.size
        made.append((Path(packed.path).read_bytes(), packed.sha256))
    assert made[0] == made[1]


def test_a_digest_reads_holes_as_zeros(tmp_path: Path) -> None:
    sparse(tmp_path / "a")
    (tmp_path / "b").write_bytes((tmp_path / "a").read_bytes())
    assert pack.digest(str(tmp_path / "a")) == pack.digest(str(tmp_path / "b"))


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="absent"):
        pack.pack(b"{}", [("rootfs.ext4", str(tmp_path / "absent"))], str(tmp_path / "bundle"))
    (tmp_path / "bundle").write_text("mine")
    with pytest.raises(FileExistsError):
        pack.pack(b"{}", [], str(tmp_path / "bundle"))
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("bundle", "mine")]


@pytest.mark.parametrize(
    ("name", "size"), [("a", 0), ("a" * 100, 1), ("modules/" + "b" * 90 + "/" + "c" * 90, 8**11), ("x/y", 1 << 40)]
)
def test_a_header_says_name_and_size(name: str, size: int) -> None:
    with tarfile.open(fileobj=io.BytesIO(pack.header(name, size))) as tar:
        (found,) = tar.getmembers() if size == 0 else [tar.next()]
        assert found is not None and (found.name, found.size, found.isreg()) == (name, size, True)


@pytest.mark.parametrize("name", ["a" * 101, "a/" + "b" * 101, "a" * 160 + "/b"])
def test_a_name_that_ustar_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="too long"):
        pack.header(name, 1)


def test_blocks_of_zeros_become_holes_wherever_they_lie(tmp_path: Path) -> None:
    block = unpack._BLOCK
    for pattern in ("0", "1", "01", "10", "0110", "1001", "101", "0" * 9 + "1", "1" * 9):
        data = b"".join(bytes(block) if each == "0" else b"\x07" * block for each in pattern) + b"\x07tail"
        path = tmp_path / pattern
        with path.open("wb") as file:
            file.truncate(block + len(data))
            written = unpack.write_sparsely(file.fileno(), data, block)
        assert path.read_bytes() == bytes(block) + data
        assert written == pattern.count("1") * block + 5


def test_a_manifest_is_read_back_as_written() -> None:
    made = manifest.Manifest(name="box", arch="amd64", distro="debian-12", kernel_ref="k", description="d", size=7)
    assert manifest.decode(manifest.encode(made), "x") == made
    assert manifest.decode(b'{"name": "a", "arch": "x86_64", "unknown": [1]}', "x").arch == "amd64"
