"""Archives that a guest could send to harm the host that copies files out of it."""

import io
import os
import stat
import tarfile
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from banger import errors
from banger.sdk.archive import Limits, unpack


def entry(name: str, type: bytes = tarfile.REGTYPE, content: bytes = b"evil", **more: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = type
    info.size = len(content) if type == tarfile.REGTYPE else 0
    info.mode = 0o755 if type == tarfile.DIRTYPE else 0o644
    for attribute, value in more.items():
        setattr(info, attribute, value)
    return info


def stream(*entries: tarfile.TarInfo, content: bytes = b"evil") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for info in entries:
            archive.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return packed.getvalue()


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    """A destination with things beside it that no stream may touch."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    (tmp_path / "dest").mkdir()
    return tmp_path / "dest"


def untouched(dest: Path) -> bool:
    outside = dest.parent / "outside"
    return sorted(os.listdir(dest.parent)) == ["dest", "outside"] and (
        [(path.name, path.read_text(), path.stat().st_nlink) for path in outside.iterdir()] == [("secret", "secret", 1)]
    )


def refused(data: bytes | Iterable[bytes], dest: Path, limits: Limits | None = None) -> str:
    with pytest.raises(errors.UnsafeArchive) as caught:
        unpack([data] if isinstance(data, bytes) else data, str(dest), limits=limits)
    assert untouched(dest)
    assert caught.value.message.isprintable()
    return caught.value.message


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "..", "/evil", "//evil", "a/b/../../../evil", "./../evil", "a/.."]
)
@pytest.mark.parametrize("type", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE])
def test_names_that_lead_out(name: str, type: bytes, dest: Path) -> None:
    refused(stream(entry(name, type, linkname="x")), dest)
    assert not list(dest.iterdir())


@pytest.mark.parametrize("target", ["../outside", "/", ".", "a-directory"])
def test_a_link_swapped_in_for_a_directory(target: str, dest: Path) -> None:
    (dest / "a-directory").mkdir()
    message = refused(stream(entry("way", tarfile.SYMTYPE, linkname=target), entry("way/evil")), dest)
    assert "stands where a directory is needed" in message


def test_a_link_swapped_in_deep_and_after_its_directory_was_used(dest: Path) -> None:
    refused(
        stream(
            entry("d", tarfile.DIRTYPE),
            entry("d/e", tarfile.DIRTYPE),
            entry("d/e/fine"),
            entry("d/l", tarfile.SYMTYPE, linkname="../../outside"),
            entry("d/l/evil"),
        ),
        dest,
    )
    assert (dest / "d" / "e" / "fine").read_bytes() == b"evil"


def test_a_directory_is_not_replaced_by_a_link(dest: Path) -> None:
    data = stream(entry("d", tarfile.DIRTYPE), entry("d", tarfile.SYMTYPE, linkname="../outside"), entry("d/evil"))
    assert "directory of this name" in refused(data, dest)


def test_a_link_that_was_there_before_is_replaced_and_not_followed(dest: Path) -> None:
    (dest / "name").symlink_to("../outside/secret")
    unpack([stream(entry("name"))], str(dest))
    assert untouched(dest)
    assert not (dest / "name").is_symlink()


def test_a_directory_link_that_was_there_before_is_not_followed(dest: Path) -> None:
    (dest / "way").symlink_to("../outside")
    refused(stream(entry("way/evil")), dest)
    refused(stream(entry("way", tarfile.DIRTYPE)), dest)


@pytest.mark.parametrize("target", ["../outside/secret", "/etc/passwd", "way/secret", "nothing", "evil", "link"])
def test_hard_links_to_what_the_stream_did_not_bring(target: str, dest: Path) -> None:
    refused(
        stream(
            entry("way", tarfile.SYMTYPE, linkname="../outside"),
            entry("link", tarfile.SYMTYPE, linkname="../outside/secret"),
            entry("evil", tarfile.LNKTYPE, linkname=target),
        ),
        dest,
    )


def test_a_hard_link_to_a_file_that_the_user_had_before(dest: Path) -> None:
    (dest / "private").write_text("mine")
    assert "no file of this stream" in refused(stream(entry("public", tarfile.LNKTYPE, linkname="private")), dest)
    assert (dest / "private").stat().st_nlink == 1


@pytest.mark.parametrize("type", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"S", b"V", b"Z"])
def test_devices_pipes_and_unknown_kinds(type: bytes, dest: Path) -> None:
    refused(entry("evil", type, content=b"").tobuf() + bytes(1024), dest)
    assert not (dest / "evil").exists()


def test_setuid_setgid_and_sticky_are_dropped(dest: Path) -> None:
    unpack([stream(entry("d", tarfile.DIRTYPE, mode=0o7777), entry("d/f", mode=0o7755))], str(dest))
    assert stat.S_IMODE((dest / "d").stat().st_mode) == 0o777
    assert stat.S_IMODE((dest / "d" / "f").stat().st_mode) == 0o755


def test_files_belong_to_whoever_copies(dest: Path) -> None:
    unpack([stream(entry("f", uid=12345, gid=54321))], str(dest))
    assert ((dest / "f").stat().st_uid, (dest / "f").stat().st_gid) == (os.geteuid(), dest.stat().st_gid)


def test_a_bomb_of_bytes(dest: Path) -> None:
    def endless() -> Iterator[bytes]:
        yield entry("bomb", size=1 << 40).tobuf(tarfile.GNU_FORMAT)
        while True:
            yield bytes(1 << 20)

    assert "more than this host takes" in refused(endless(), dest, Limits(size=10 << 20))


def test_a_bomb_of_entries(dest: Path) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield entry("d", tarfile.DIRTYPE).tobuf()

    assert "more than this host takes" in refused(endless(), dest, Limits(entries=1000))


def test_a_bomb_behind_the_end(dest: Path) -> None:
    def endless() -> Iterator[bytes]:
        yield bytes(1024)
        while True:
            yield bytes(1 << 20)

    refused(endless(), dest, Limits(size=10 << 20))


@pytest.mark.parametrize(
    "records", [b"22 GNU.sparse.major=1\n", b"29 GNU.sparse.realsize=99999\n", b"30 GNU.sparse.size=1099511627\n"]
)
def test_a_sparse_bomb(records: bytes, dest: Path) -> None:
    extended = entry("pax", tarfile.XHDTYPE, content=b"")
    extended.size = len(records)
    data = extended.tobuf() + records + bytes(-len(records) % 512) + entry("evil").tobuf() + bytes(2048)
    assert "sparse" in refused(data, dest)


def test_an_endless_extended_header_fills_no_memory(dest: Path) -> None:
    def endless() -> Iterator[bytes]:
        yield entry("pax", tarfile.XHDTYPE, size=8 << 30).tobuf(tarfile.GNU_FORMAT)
        while True:
            yield bytes(1 << 20)

    tracemalloc.start()
    refused(endless(), dest)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize(
    "record", [b"x", b"99 path=a\n", b"0 path=a\n", b"11 path=abc", b"10 size=-1\n", b"10 size=xx\n"]
)
def test_malformed_extended_headers(record: bytes, dest: Path) -> None:
    extended = entry("pax", tarfile.XHDTYPE, content=b"")
    extended.size = len(record)
    data = extended.tobuf() + record + bytes(-len(record) % 512) + entry("evil").tobuf() + bytes(2048)
    refused(data, dest)


def test_a_stream_that_breaks_off_at_any_byte(dest: Path) -> None:
    data = stream(entry("a"), entry("b" * 150), entry("c", tarfile.DIRTYPE))
    end = len(data.rstrip(b"\0"))
    for cut in range(1, end - end % 512, 97):
        refused(data[:cut], dest)


def test_garbage(dest: Path) -> None:
    refused(b"garbage" * 1000, dest)


def test_a_name_with_escapes_is_told_without_them(dest: Path) -> None:
    message = refused(stream(entry("../\x1b]0;owned\x07")), dest)
    assert "\x1b" not in message


def test_depth_is_limited(dest: Path) -> None:
    refused(stream(entry("d/" * 300 + "evil")), dest)


def test_a_rename_is_judged_too(dest: Path) -> None:
    with pytest.raises(errors.UnsafeArchive):
        unpack([stream(entry("fine"))], str(dest), rename=lambda name: "../" + name)
    assert untouched(dest)
