"""Packing and unpacking without a guest in between."""

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from banger import errors
from banger.sdk.archive import pack, unpack


def make(root: Path) -> Path:
    (root / "sub").mkdir(parents=True)
    (root / "file").write_bytes(b"content" * 1000)
    (root / "sub" / "ünï").write_text("name")
    (root / ("long" * 50)).write_text("long")
    (root / "link").symlink_to("sub/" + "t" * 150)
    (root / "second").hardlink_to(root / "file")
    (root / "program").write_text("#!")
    (root / "program").chmod(0o755)
    for path in (*root.rglob("*"), root):
        os.utime(path, ns=(0, 1_600_000_000_123_456_789), follow_symlinks=False)
    return root


def picture(root: Path) -> dict[str, object]:
    return {
        str(path.relative_to(root)): (
            stat.S_IMODE(path.lstat().st_mode) if not path.is_symlink() else str(path.readlink()),
            path.lstat().st_mtime_ns,
            path.read_bytes() if path.is_file() and not path.is_symlink() else None,
        )
        for path in sorted(root.rglob("*"))
    }


@pytest.mark.parametrize("size", [1, 511, 4096, 1 << 20])
def test_what_is_packed_comes_out_the_same_whatever_the_pieces(size: int, tmp_path: Path) -> None:
    source, dest = make(tmp_path / "source"), tmp_path / "dest"
    dest.mkdir()
    data = b"".join(pack(str(source), "name"))
    written = unpack((data[at : at + size] for at in range(0, len(data), size)), str(dest))
    assert picture(dest / "name") == picture(source)
    assert (dest / "name" / "second").samefile(dest / "name" / "file")
    assert written.entries == 8
    assert written.size == 7000 + 4 + 4 + 2


def test_a_second_copy_replaces_the_first(tmp_path: Path) -> None:
    source, dest = make(tmp_path / "source"), tmp_path / "dest"
    dest.mkdir()
    for _ in range(2):
        unpack(pack(str(source), "name"), str(dest))
    assert picture(dest / "name") == picture(source)


def test_python_s_own_reader_accepts_what_is_packed(tmp_path: Path) -> None:
    source = make(tmp_path / "source")
    with tarfile.open(fileobj=io.BytesIO(b"".join(pack(str(source), "name")))) as archive:
        assert {member.name for member in archive} == {"name"} | {f"name/{path}" for path in picture(source)}
        assert {(member.uid, member.gid) for member in archive} == {(0, 0)}
        assert archive.getmember("name/program").mode == 0o755


def test_owners_are_kept_when_asked(tmp_path: Path) -> None:
    source = make(tmp_path / "source")
    with tarfile.open(fileobj=io.BytesIO(b"".join(pack(str(source), "name", owner=None)))) as archive:
        assert {member.uid for member in archive} == {source.stat().st_uid}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archives_of_other_programs_are_understood(form: int, tmp_path: Path) -> None:
    names = ["a", "d/" + "x" * 95, "n/" * 40 + "deep"] + ["y" * 180] * (form != tarfile.USTAR_FORMAT)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            archive.addfile(info, io.BytesIO(name.encode()))
    unpack([packed.getvalue()], str(tmp_path))
    assert [(tmp_path / name).read_text() for name in names] == names


def test_a_rename_moves_files_and_the_links_to_them(tmp_path: Path) -> None:
    source, dest = make(tmp_path / "source"), tmp_path / "dest"
    dest.mkdir()
    unpack(pack(str(source), "old"), str(dest), rename=lambda name: "new" + name.removeprefix("old"))
    assert os.listdir(dest) == ["new"]
    assert picture(dest / "new") == picture(source)


def test_a_file_can_take_the_destination_s_own_name(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("1")
    unpack(pack(str(tmp_path / "one"), "x"), str(tmp_path), rename=lambda name: "two")
    assert (tmp_path / "two").read_text() == "1"


def test_a_pipe_is_not_packed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(errors.UsageError):
        list(pack(str(tmp_path), "x"))


def test_a_directory_without_permissions_can_be_filled_and_left(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, type in (("d", tarfile.DIRTYPE), ("d/f", tarfile.REGTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.mode = type, 0
            archive.addfile(info)
    unpack([packed.getvalue()], str(tmp_path))
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "d" / "f").stat().st_mode) == 0
