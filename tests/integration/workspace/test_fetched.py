"""An export from a machine without git: its files are fetched and compared here, and nothing of theirs is executed."""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self, cast

import pytest

from banger import errors
from banger.sdk import archive, export
from banger.sdk.client import Client
from banger.workspace import listing, repository
from tests.patches import picture
from tests.repositories import apply, commit, git, head, write
from tests.repositories import repository as made


class Reply:
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def chunks(self) -> Iterator[bytes]:
        return self._chunks

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


class Bare:
    """A machine with a shell or without, but without git: it has files."""

    def __init__(self, host: Path, top: Path, listed: bytes) -> None:
        self.top = top
        self.listed = listed
        self.record: dict[str, Any] = {
            "id": "1",
            "path": str(top),
            "source": str(host),
            "commit": head(host),
            "complete": True,
            "imported": time.time(),
        }

    def document(self, route: object, ref: str) -> dict[str, Any]:
        return {"workspace": self.record}

    def vm_exec(self, ref: str, request: object) -> None:
        raise errors.CommandNotFound(command="/bin/sh")

    def vm_workspace_listing(self, ref: str) -> bytes:
        return self.listed

    def vm_get(self, ref: str, path: str) -> Reply:
        assert path == f"{self.top}/."
        return Reply(archive.pack(str(self.top), "."))


@pytest.fixture
def host(tmp_path: Path) -> Path:
    where = made(
        tmp_path / "host",
        {
            "a": b"a\n",
            "b": b"b\n",
            "d/deep": b"d\n",
            "gone": b"x\n",
            "s p": b"1\n",
            "bin": bytes(9),
            ".gitignore": b"*.o\n",
        },
    )
    (where / "dir-link").symlink_to("d")
    commit(where)
    return where


@pytest.fixture(autouse=True)
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("BANGER_CACHE_DIR", str(tmp_path / "cache"))
    yield tmp_path / "cache" / "workspaces"
    if (tmp_path / "cache").exists():
        assert os.listdir(tmp_path / "cache" / "workspaces") == []


def imported(host: Path, untracked: bool = True) -> Bare:
    """As an import leaves it: a copy of the working tree, and the list of what was brought."""
    guest = host.parent / "guest"
    shutil.copytree(host, guest, symlinks=True)
    source = repository.find(str(host))
    names = [*listing.tracked(source), *(listing.untracked(source) if untracked else [])]
    return Bare(host, guest, listing.dump(listing.working_files(source, names)))


def taken(machine: Bare, **options: Any) -> export.Patch:
    return export.text(cast(Client, machine), "vm", **options)


def change(guest: Path) -> None:
    write(guest, {"a": b"changed\r\n", "new/file": b"\0\1", "x.o": b"ignored", 'q"\n': b"no newline"})
    (guest / "gone").unlink()
    (guest / "b").chmod(0o755)
    (guest / "s p").rename(guest / "moved")
    (guest / "dir-link").unlink()
    (guest / "dir-link").symlink_to("a")


def test_the_patch_makes_the_same_tree(host: Path) -> None:
    machine = imported(host)
    change(machine.top)
    found = taken(machine)
    apply(host, found.content or b"")
    (machine.top / "x.o").unlink()
    assert picture(host) == picture(machine.top)


def test_nothing_changed(host: Path) -> None:
    write(host, {"a": b"edited on the host\n", "untracked": b"x\n"})
    (host / "gone").unlink()
    found = taken(imported(host))
    assert (found.content, found.files) == (b"", [])


def test_edits_of_the_host_s_before_the_import_are_not_the_guest_s(host: Path) -> None:
    write(host, {"a": b"edited on the host\n", "d/deep": b"edited too\n", "untracked": b"x\n"})
    (host / "bin").unlink()
    machine = imported(host)
    change(machine.top)
    found = taken(machine)
    assert b"bin" not in [each.path for each in found.files]
    apply(host, found.content or b"")
    (machine.top / "x.o").unlink()
    assert picture(host) == picture(machine.top)


def test_files_of_a_while_ago_are_their_own_base(host: Path) -> None:
    """Whatever has become of the owner's in between."""
    write(host, {"a": b"edited on the host\n", "untracked": b"x\n"})
    for path in (host / "a", host / "untracked", host / "d/deep"):
        os.utime(path, (1_600_000_000, 1_600_000_000))
    machine = imported(host)
    write(host, {"a": b"edited again\n"})
    write(machine.top, {"d/deep": b"by the guest\n"})
    assert [each.path for each in taken(machine).files] == [b"d/deep"]


def test_a_base_of_the_owner_s_repository(host: Path) -> None:
    first = head(host)
    write(host, {"a": b"2\n"})
    commit(host)
    machine = imported(host)
    assert [each.path for each in taken(machine, base=first).files] == [b"a"]
    with pytest.raises(errors.NotFound):
        taken(machine, base="nothing")


def test_the_owner_s_repository_is_left_as_it_is(host: Path) -> None:
    machine = imported(host)
    change(machine.top)
    before = {str(path): path.read_bytes() for path in (host / ".git").rglob("*") if path.is_file()}
    taken(machine)
    assert {str(path): path.read_bytes() for path in (host / ".git").rglob("*") if path.is_file()} == before


def test_a_repository_that_is_gone_from_the_host(host: Path) -> None:
    machine = imported(host)
    shutil.rmtree(host)
    with pytest.raises(errors.NoSuchPath):
        taken(machine)


# -- attacks ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[Path]:
    """A program that nobody may execute."""
    program, mark = tmp_path / "evil", tmp_path / "executed"
    program.write_text(f"#!/bin/sh\ntouch {mark}\ncat\n")
    program.chmod(0o755)
    yield program
    assert not mark.exists()


@pytest.mark.parametrize("place", [".git", ".GIT", "sub/.git", ".git /x", "git~1"])
def test_settings_in_the_tree_are_not_even_unpacked(host: Path, trap: Path, place: str) -> None:
    machine = imported(host)
    settings = f"[core]\nfsmonitor = {trap}\nhooksPath = {trap.parent}\npager = {trap}\n[diff]\nexternal = {trap}\n"
    write(
        machine.top, {f"{place}/config": settings.encode(), f"{place}/HEAD": b"ref: refs/heads/x\n", "a": b"changed\n"}
    )
    (machine.top / place / "objects").mkdir(exist_ok=True)
    (machine.top / place / "refs").mkdir(exist_ok=True)
    assert [each.path for each in taken(machine).files] == [b"a"]


def test_a_file_that_says_where_settings_are(host: Path, trap: Path) -> None:
    machine = imported(host)
    evil = trap.parent / "repository"
    git(trap.parent, "init", "-q", "repository")
    git(evil, "config", "core.fsmonitor", str(trap))
    shutil.rmtree(machine.top / ".git")
    write(machine.top, {".git": f"gitdir: {evil}/.git\n".encode(), "sub/.git": f"gitdir: {evil}/.git\n".encode()})
    assert taken(machine).files == []


def test_attributes_that_name_filters_and_drivers(host: Path, trap: Path) -> None:
    for key in ("filter.x.clean", "filter.x.process", "diff.x.command", "diff.x.textconv"):
        git(host, "config", key, str(trap))
    machine = imported(host)
    write(machine.top, {".gitattributes": b"* filter=x diff=x\n", "a": b"changed\n"})
    found = taken(machine)
    assert [each.path for each in found.files] == [b".gitattributes", b"a"]
    assert [each.path for each in found.cautions] == [b".gitattributes"]


def test_a_link_in_the_place_of_a_directory_shows_nothing_of_the_host(host: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "deep").write_bytes(b"of the host\n")
    machine = imported(host)
    shutil.rmtree(machine.top / "d")
    (machine.top / "d").symlink_to(tmp_path / "secret")
    found = taken(machine)
    assert b"of the host" not in (found.content or b"")
    assert [(each.status, each.path) for each in found.files] == [("A", b"d"), ("D", b"d/deep")]


@pytest.mark.parametrize("name", [".gitignore", ".gitattributes"])
def test_a_link_in_the_place_of_a_file_that_git_reads(host: Path, tmp_path: Path, name: str) -> None:
    machine = imported(host)
    with contextlib.suppress(FileNotFoundError):
        (machine.top / name).unlink()
    (machine.top / name).symlink_to("/etc/passwd")
    with pytest.raises(errors.UnsafePatch, match="follows no link"):
        taken(machine)


def test_a_repository_within_is_left_out_and_named(host: Path) -> None:
    machine = imported(host)
    made(machine.top / "vendor" / "lib [1]*", {"x": b"x\n"})
    write(machine.top, {"vendor/own": b"own\n"})
    found = taken(machine)
    assert found.left_out == [b"vendor/lib [1]*"]
    assert [each.path for each in found.files] == [b"vendor/own"]


def test_a_repository_behind_a_link_reaches_nothing(host: Path, tmp_path: Path) -> None:
    """A stream may name what no tree can have: a directory below a link."""
    (tmp_path / "victim" / "b").mkdir(parents=True)
    (tmp_path / "victim" / "b" / "precious").write_bytes(b"x")
    machine = imported(host)
    (machine.top / "l").symlink_to(tmp_path / "victim")

    class Evil(Bare):
        def vm_get(self, ref: str, path: str) -> Reply:
            pieces = [*archive.pack(str(self.top), ".")][:-1]
            (tmp_path / "HEAD").write_bytes(b"x")
            return Reply(iter([*pieces, *archive.pack(str(tmp_path / "HEAD"), "l/b/.git/HEAD")]))

    machine.__class__ = Evil
    found = taken(machine)
    assert (tmp_path / "victim" / "b" / "precious").exists()
    assert [each.path for each in found.files] == [b"l"]


def test_what_a_killed_export_left_is_cleared_away(host: Path, room: Path) -> None:
    (room / "export-999999999-x" / "tree").mkdir(parents=True)
    taken(imported(host))
