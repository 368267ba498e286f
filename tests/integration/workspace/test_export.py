"""The library's end of an export: what it asks, what it makes of the answer, and what is on this host afterwards."""

import errno
import os
import stat
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self, cast

import pytest

from banger import errors
from banger.sdk import export
from banger.sdk.client import Client
from banger.workspace.patch import Limits
from tests.patches import added, link, picture
from tests.repositories import ENVIRONMENT, apply, clone, commit, head, repository, write


class Said:
    """A command that has been executed on this host, or an answer that was made up."""

    def __init__(self, stdout: bytes, stderr: bytes = b"", status: int | None = 0, signal: int | None = None) -> None:
        self.pieces = [(1, stdout[start : start + 1000]) for start in range(0, len(stdout), 1000)] + [(2, stderr)]
        self.exit_code, self.signal = status, signal

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return iter(self.pieces)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


class Guest:
    """What `export` needs of a client. The machine's commands run here; or it answers what it likes."""

    def __init__(self, workspace: Mapping[str, Any] | None, answer: Said | None = None) -> None:
        self.workspace = workspace
        self.answer = answer

    def document(self, route: object, ref: str) -> dict[str, Any]:
        return {"name": ref, "workspace": self.workspace}

    def vm_exec(self, ref: str, request: dict[str, Any]) -> Said:
        if self.answer is not None:
            return self.answer
        done = subprocess.run(request["argv"], cwd=request["cwd"], env=ENVIRONMENT, capture_output=True, check=False)
        return Said(done.stdout, done.stderr, done.returncode)


def record(path: Path, **more: object) -> dict[str, Any]:
    return {"id": "1", "path": str(path), "source": "/src", "commit": head(path), "complete": True, **more}


def client(guest: Guest) -> Client:
    return cast(Client, guest)


def answering(patch: bytes, status: int = 0, stderr: bytes = b"") -> Client:
    """A machine whose git says this."""
    workspace = {"id": "1", "path": "/w", "source": "/src", "commit": "1" * 40, "complete": True}
    return client(Guest(workspace, Said(b"base " + b"1" * 40 + b"\n\n" + patch, stderr, status)))


@pytest.fixture
def host(tmp_path: Path) -> Path:
    return repository(tmp_path / "host", {"a": b"a\n", "b": b"b\n"})


@pytest.fixture
def guest(host: Path, tmp_path: Path) -> Path:
    return clone(host, tmp_path / "guest")


def test_the_patch_applies_on_the_host(host: Path, guest: Path) -> None:
    box = client(Guest(record(guest)))
    write(guest, {"a": b"changed\n", "new/file": b"\0\1"})
    commit(guest)
    write(guest, {"b": b"changed too\n"})
    found = export.text(box, "vm")
    patch = found.content or b""
    assert found.base == head(host)
    assert found.size == len(patch)
    apply(host, patch)
    assert picture(host) == picture(guest)


def test_a_base_that_is_asked_for(guest: Path) -> None:
    box = client(Guest(record(guest)))
    write(guest, {"a": b"changed\n"})
    second = commit(guest)
    write(guest, {"b": b"changed too\n"})
    for base in (second, "HEAD", "main"):
        found = export.text(box, "vm", base=base)
        assert (found.base, [each.path for each in found.files]) == (second, [b"b"])


@pytest.mark.parametrize("base", ["", "-p", "--output=/tmp/x", ":empty", "a\0b"])
def test_a_base_that_is_none(base: str, guest: Path) -> None:
    with pytest.raises(errors.UsageError):
        export.text(client(Guest(record(guest))), "vm", base=base)


def test_another_repository_begins_from_its_own_head(guest: Path, tmp_path: Path) -> None:
    other = repository(tmp_path / "it's other", {"x": b"x\n"})
    write(other, {"x": b"y\n"})
    for workspace in (record(guest), None):
        found = export.text(client(Guest(workspace)), "vm", path=str(other))
        assert (found.base, [each.path for each in found.files]) == (head(other), [b"x"])


def test_no_workspace(guest: Path) -> None:
    with pytest.raises(errors.NoWorkspace) as caught:
        export.text(client(Guest(None)), "vm")
    assert "--guest-path" in caught.value.advice


def test_an_import_that_broke_off(guest: Path) -> None:
    box = client(Guest(record(guest, complete=False)))
    with pytest.raises(errors.UsageError, match="broke off"):
        export.text(box, "vm")
    export.text(box, "vm", base="HEAD")


def test_an_import_without_a_commit(guest: Path) -> None:
    found = export.text(client(Guest(record(guest, commit=None))), "vm")
    assert [each.path for each in found.files] == [b"a", b"b"]


def test_what_is_missing_in_the_machine_is_told_apart(guest: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.NoSuchPath, match="git repository"):
        export.text(client(Guest({**record(guest), "path": str(tmp_path)})), "vm")
    with pytest.raises(errors.NotFound, match="commit"):
        export.text(client(Guest(record(guest, commit="2" * 40))), "vm")
    with pytest.raises(errors.CommandFailed, match="some last words"):
        export.text(answering(b"", status=1, stderr=b"some\nsome last words\n"), "vm")


def test_a_command_that_fails_after_its_answer_gives_nothing(tmp_path: Path) -> None:
    with pytest.raises(errors.CommandFailed):
        export.save(answering(added("x"), status=1), "vm", str(tmp_path / "patch"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "answer", [b"", b"base", b"base 11\n\n", b"base " + b"1" * 40 + b"\nevil\n\n", b"x" * (3 << 20)]
)
def test_an_answer_that_does_not_begin_as_it_should(answer: bytes) -> None:
    workspace = {"id": "1", "path": "/w", "source": "/src", "commit": "1" * 40, "complete": True}
    with pytest.raises(errors.UnsafePatch):
        export.text(client(Guest(workspace, Said(answer))), "vm")


@pytest.mark.parametrize("unnamed", [True, False], ids=["a file system with unnamed files", "one without"])
def test_a_file_is_written_whole_or_not_at_all(unnamed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = os.open

    def refuse(path: str, flags: int, *rest: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "no such files here")
        return plain(path, flags, *rest)

    if not unnamed:
        monkeypatch.setattr(os, "open", refuse)
    target = tmp_path / "patch"
    export.save(answering(added("x")), "vm", str(target))
    assert target.read_bytes() == added("x")
    for evil in (added("x") + added(".git/config"), added("x") + b"junk", added("x")[:-3]):
        with pytest.raises(errors.UnsafePatch):
            export.save(answering(evil), "vm", str(target))
    with pytest.raises(errors.UnsafePatch, match="longer than 10 bytes"):
        export.save(answering(added("x")), "vm", str(target), limits=Limits(size=10))
    assert target.read_bytes() == added("x")
    assert os.listdir(tmp_path) == ["patch"]


def test_a_file_has_the_mode_of_any_other(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        export.save(answering(added("x")), "vm", str(tmp_path / "patch"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "patch").stat().st_mode) == 0o640


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "patch").symlink_to("victim")
    export.save(answering(added("x")), "vm", str(tmp_path / "patch"))
    assert (tmp_path / "victim").read_text() == "precious"
    assert not (tmp_path / "patch").is_symlink()


def test_no_directory_device_or_missing_place_is_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", ".", "/dev/null"):
        with pytest.raises(errors.UsageError, match="not a file"):
            export.save(answering(added("x")), "vm", str(tmp_path / name))
    with pytest.raises(errors.NoSuchPath):
        export.save(answering(added("x")), "vm", str(tmp_path / "missing" / "patch"))
    assert os.listdir(tmp_path) == ["fifo"]


def test_who_only_looks_is_warned_and_not_refused() -> None:
    patch = added(".git/config") + link("l", "/etc") + added("l/passwd") + added(".envrc")
    found = export.read(answering(patch), "vm", strict=False)
    assert {each.path for each in found.cautions} == {b".git/config", b"l", b"l/passwd", b".envrc"}
