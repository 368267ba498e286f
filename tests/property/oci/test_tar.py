"""The tar reader against the standard library's, and against noise."""

import io
import tarfile
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banger.oci.tar import Archive, Header, Malformed, Refused

name = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=60).filter(
    lambda text: text not in (".", "..")
)
path = st.lists(name, min_size=1, max_size=8).map("/".join)
entry = st.fixed_dictionaries(
    {
        "name": path,
        "type": st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]),
        "mode": st.integers(0, 0o7777),
        "uid": st.integers(0, 2**32 - 2),
        "gid": st.integers(0, 2**32 - 2),
        "mtime": st.integers(-(2**31), 2**33) | st.integers(0, 2**34).map(lambda quarters: quarters / 4),
        "linkname": path,
        "data": st.binary(max_size=2000),
        "xattrs": st.dictionaries(st.from_regex(r"user\.[a-z]{1,9}", fullmatch=True), st.text(max_size=20), max_size=3),
    }
)


def archived(entries: list[dict[str, object]], form: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for each in entries:
            info = tarfile.TarInfo(str(each["name"]))
            for field in ("type", "mode", "uid", "gid", "mtime", "linkname"):
                setattr(info, field, each[field])
            data = each["data"] if each["type"] == tarfile.REGTYPE else b""
            assert isinstance(data, bytes)
            if form == tarfile.PAX_FORMAT:
                assert isinstance(each["xattrs"], dict)
                info.pax_headers = {f"SCHILY.xattr.{key}": value for key, value in each["xattrs"].items()}
            else:
                info.mtime = int(info.mtime)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def read(pieces: Iterator[bytes]) -> list[tuple[Header, bytes]]:
    archive = Archive(pieces)
    found = []
    while (header := archive.next()) is not None:
        found.append((header, archive.read(header.stored)))
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(entry, max_size=5), st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]), st.integers(1, 3000))
def test_it_reads_what_the_standard_library_reads(entries: list[dict[str, object]], form: int, size: int) -> None:
    data = archived(entries, form)
    found = read(cut(data, size))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = tar.getmembers()
        assert len(members) == len(found)
        for member, (header, content) in zip(members, found, strict=True):
            assert header.name.rstrip(b"/").decode() == member.name.rstrip("/")
            assert (header.kind, header.mode) == (member.type, member.mode & 0o7777)
            assert (header.uid, header.gid, header.size) == (member.uid, member.gid, member.size)
            assert abs(header.mtime - member.mtime * 1_000_000_000) < 1000
            if member.issym() or member.islnk():
                assert header.link.decode() == member.linkname
            if member.isreg():
                file = tar.extractfile(member)
                assert file is not None
                assert content == file.read()
            xattrs = {f"SCHILY.xattr.{key.decode()}": value.decode() for key, value in (header.xattrs or {}).items()}
            assert xattrs == {key: value for key, value in member.pax_headers.items() if key.startswith("SCHILY")}


@settings(max_examples=60, deadline=None)
@given(st.lists(entry, min_size=1, max_size=3), st.data())
def test_damage_is_refused_or_harmless(entries: list[dict[str, object]], data: st.DataObject) -> None:
    whole = bytearray(archived(entries, tarfile.PAX_FORMAT))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    del whole[data.draw(st.integers(0, len(whole))) :]
    try:
        found = read(cut(bytes(whole), 512))
    except (Malformed, Refused):
        return
    assert sum(len(content) for _, content in found) <= len(whole)


@given(st.binary(max_size=3000))
def test_noise_is_not_an_archive(noise: bytes) -> None:
    try:
        assert read(cut(noise, 700)) == []
    except (Malformed, Refused):
        return
    assert not noise[:512].strip(b"\0")


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_an_archive_may_end_without_its_zero_blocks(form: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        info = tarfile.TarInfo("p" * 90 + "/" + "n" * 90)
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
    data = buffer.getvalue()
    while data.endswith(bytes(512)):
        data = data[:-512]
    ((header, content),) = read(cut(data, 512))
    if form == tarfile.USTAR_FORMAT:
        assert (header.name, content) == (b"p" * 90 + b"/" + b"n" * 90, b"abc")
    assert header.size == 3
