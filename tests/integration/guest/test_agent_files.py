"""Files into and out of the agent: archives with all that belongs to a file, and transfers that fail."""

import io
import os
import random
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from banger import errors
from banger.guest.channel import Channel
from banger.guest.command import CommandEnd, ExecSpec
from tests.integration.guest.rig import PROJECT, Port, on_channel, ran


async def tar_of(channel: Channel, path: Path | str) -> bytes:
    return b"".join([data async for data in channel.get(str(path))])


async def in_pieces(data: bytes, size: int = 70_001) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def picture(root: Path) -> dict[str, object]:
    """All that a copy has to keep."""
    seen: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        mode = 0 if path.is_symlink() else status.st_mode
        seen[str(path.relative_to(root))] = (mode, status.st_mtime_ns, status.st_uid, status.st_gid, content)
    return seen


def make_tree(root: Path) -> None:
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "empty").write_bytes(b"")
    (root / "big").write_bytes(random.Random(2).randbytes(3_000_001))
    (root / "sub" / "ünï\nçødé").write_text("name")
    (root / ("long" * 60)).write_text("a name beyond the header's hundred bytes")
    (root / "sub" / "first").write_text("linked")
    (root / "second").hardlink_to(root / "sub" / "first")
    (root / "link").symlink_to("sub/first")
    (root / "dangling").symlink_to("/no/such/" + "t" * 150)
    (root / "program").write_text("#!/bin/sh")
    (root / "program").chmod(0o4751)
    for number, path in enumerate(sorted(root.rglob("*"), reverse=True)):
        os.utime(path, ns=(0, 1_600_000_000_123_456_789 + number), follow_symlinks=False)
    (root / "sub" / "deep").chmod(0o500)


def test_files_go_out_and_in_again_with_all_that_belongs_to_them(port: Port, tmp_path: Path) -> None:
    source, dest = tmp_path / "tree", tmp_path / "dest"
    source.mkdir()
    dest.mkdir()
    make_tree(source)

    async def use(channel: Channel) -> None:
        data = await tar_of(channel, source)
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            assert archive.getnames()[0] == "tree"
            assert archive.getmember("tree/program").mode == 0o4751
        for _ in range(2):  # the second time everything exists already
            await channel.put(str(dest), in_pieces(data))

    on_channel(port.path, use)
    assert picture(dest / "tree") == picture(source)
    assert (dest / "tree" / "second").samefile(dest / "tree" / "sub" / "first")


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_archives_of_other_programs_are_understood(port: Port, tmp_path: Path, form: int) -> None:
    names = ["a", "d/" + "x" * 95, "n/" * 40 + "deep"] + ["y" * 180] * (form != tarfile.USTAR_FORMAT)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size, info.uid, info.gid = len(name), os.geteuid(), os.getegid()
            archive.addfile(info, io.BytesIO(name.encode()))

    async def use(channel: Channel) -> None:
        await channel.put(str(tmp_path), in_pieces(packed.getvalue(), 511))

    on_channel(port.path, use)
    assert [(tmp_path / name).read_text() for name in names] == names


def test_python_s_own_reader_accepts_what_the_agent_writes(port: Port, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 200_000)
    os.utime(tmp_path / "f", ns=(0, -1_500_000_000))

    async def use(channel: Channel) -> None:
        with tarfile.open(fileobj=io.BytesIO(await tar_of(channel, tmp_path / "f"))) as archive:
            member = archive.getmember("f")
            assert (member.size, member.mtime) == (200_000, -1.5)

    on_channel(port.path, use)


def test_a_replaced_link_is_not_followed(port: Port, tmp_path: Path) -> None:
    (tmp_path / "dest").mkdir()
    (tmp_path / "outside").write_text("kept")
    (tmp_path / "dest" / "name").symlink_to(tmp_path / "outside")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        info = tarfile.TarInfo("name")
        info.size, info.uid, info.gid = 3, os.geteuid(), os.getegid()
        archive.addfile(info, io.BytesIO(b"new"))

    async def use(channel: Channel) -> None:
        await channel.put(str(tmp_path / "dest"), in_pieces(packed.getvalue()))

    on_channel(port.path, use)
    assert (tmp_path / "outside").read_text() == "kept"
    assert (tmp_path / "dest" / "name").read_text() == "new"
    assert not (tmp_path / "dest" / "name").is_symlink()


def test_failed_transfers_say_why_and_leave_the_agent_well(port: Port, tmp_path: Path) -> None:
    async def use(channel: Channel) -> None:
        with pytest.raises(errors.GuestRefused, match="No such file"):
            await tar_of(channel, "/no/such/file")
        with pytest.raises(errors.GuestRefused, match="No such file"):
            await channel.put("/no/such/directory", in_pieces(bytes(3_000_000)))
        with pytest.raises(errors.GuestRefused, match="not a tar stream"):
            await channel.put(str(tmp_path), in_pieces(b"garbage" * 500_000))
        header = tarfile.TarInfo("f")
        header.size = 5000
        with pytest.raises(errors.GuestRefused, match="too early"):
            await channel.put(str(tmp_path), in_pieces(header.tobuf() + b"x"))
        with pytest.raises(errors.GuestRefused, match="out of the destination"):
            await channel.put(str(tmp_path), in_pieces(tarfile.TarInfo("a/../../b").tobuf() + bytes(1024)))
        pieces = channel.get(str(PROJECT))
        await anext(pieces)
        await pieces.aclose()  # type: ignore[attr-defined]
        assert (await ran(channel, "true")).end == CommandEnd(exit_code=0)

    on_channel(port.path, use)


def test_no_operation_forgets_a_descriptor(port: Port, tmp_path: Path) -> None:
    async def use(channel: Channel) -> None:
        for _ in range(40):
            await ran(channel, "cat", stdin=b"x")
            await ran(channel, "true", tty=(24, 80))
            with pytest.raises(errors.CommandNotFound):
                await ran(channel, "no-such-command")
            data = await tar_of(channel, __file__)
            await channel.put(str(tmp_path), in_pieces(data))
            with pytest.raises(errors.GuestRefused):
                await channel.put(str(tmp_path), in_pieces(b"garbage" * 100))
            with pytest.raises(errors.GuestRefused):
                await channel.dial(1)
            await (await channel.exec(ExecSpec(argv=("cat",), stdin=True))).kill()

    port.limit_descriptors(40)
    on_channel(port.path, use)


def test_states_are_told_for_each_name_in_order(port: Port, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    make_tree(tree)
    names = [
        b"program",
        b"none",
        b"sub",
        b"link",
        b"dangling",
        b"sub/none",
        b"program/none",
        b"empty",
        "sub/ünï\nçødé".encode(),
    ]

    async def use(channel: Channel) -> None:
        found = await channel.states(str(tree), names)
        for name, state in zip(names, found, strict=True):
            path = tree / os.fsdecode(name)
            if not os.path.lexists(path):
                assert state is None
                continue
            status = path.lstat()
            assert state == (status.st_mode, status.st_size, status.st_mtime_ns)
        assert await channel.states(str(tmp_path / "missing"), names) == [None] * len(names)
        assert await channel.states(str(tree), []) == []
        many = [b"x" * (each % 200 + 1) for each in range(20_000)] + [b"empty"]  # several requests' worth
        assert [each is not None for each in await channel.states(str(tree), many)] == [False] * 20_000 + [True]

    on_channel(port.path, use)


def test_what_an_archive_says_to_remove_is_removed_and_nothing_behind_it(port: Port, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "filled").mkdir(parents=True)
    (tree / "bare").mkdir()
    (tree / "filled" / "theirs").write_text("stays")
    (tree / "file").write_text("goes")
    (tree / "link").symlink_to("filled")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in ("file", "link", "bare", "filled", "none", "none/below", "file/below"):
            info = tarfile.TarInfo(name)
            info.type = b"R"
            archive.addfile(info)
        archive.addfile(tarfile.TarInfo("new"))

    async def use(channel: Channel) -> None:
        await channel.put(str(tree), in_pieces(packed.getvalue()))

    on_channel(port.path, use)
    assert sorted(str(each.relative_to(tree)) for each in tree.rglob("*")) == ["filled", "filled/theirs", "new"]
