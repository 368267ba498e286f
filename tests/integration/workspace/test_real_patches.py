"""What real git says of a guest's repository: read, applied by real git, and compared byte by byte."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from banger.workspace import guest_git
from tests.integration.workspace.conftest import everything
from tests.patches import picture
from tests.repositories import apply, ask, commit, git, head, repository, taken, write


def committed(guest: Path) -> None:
    everything(guest)
    commit(guest)


def half_committed(guest: Path) -> None:
    everything(guest)
    commit(guest)
    (guest / "text").write_bytes(b"again\n")
    (guest / "tool").unlink()
    write(guest, {"late": b"late\n"})


def staged(guest: Path) -> None:
    everything(guest)
    git(guest, "add", "-A")
    (guest / "text").write_bytes(b"and then\n")


def forgotten(guest: Path) -> None:
    """Out of the index, and flags that hide changes from git."""
    git(guest, "rm", "-q", "--cached", "crlf", "bin")
    git(guest, "update-index", "--assume-unchanged", "text")
    (guest / "text").write_bytes(b"hidden\n")
    (guest / "bin").write_bytes(b"\0")


def conflicting(guest: Path) -> None:
    git(guest, "checkout", "-q", "-b", "other")
    (guest / "text").write_bytes(b"theirs\n")
    (guest / "gone").unlink()
    commit(guest)
    git(guest, "checkout", "-q", "main")
    (guest / "text").write_bytes(b"ours\n")
    (guest / "gone").write_bytes(b"ours\n")
    commit(guest)
    git(guest, "merge", "other", check=False)
    assert git(guest, "ls-files", "--unmerged")


def unindexed(guest: Path) -> None:
    everything(guest)
    (guest / ".git/index").unlink()


def directory_for_file(guest: Path) -> None:
    (guest / "text").unlink()
    write(guest, {"text/inside": b"x\n"})
    shutil.rmtree(guest / "sub")
    (guest / "sub").write_bytes(b"was a directory\n")


@pytest.mark.parametrize(
    "change",
    [everything, committed, half_committed, staged, forgotten, conflicting, unindexed, directory_for_file],
)
def test_what_is_taken_makes_the_same_tree(host: Path, guest: Path, change: Callable[[Path], None]) -> None:
    base = head(guest)
    change(guest)
    patch, _ = taken(guest, base)
    apply(host, patch)
    assert picture(host) == picture(guest)


def test_nothing_changed_is_an_empty_patch(guest: Path) -> None:
    assert taken(guest, head(guest)) == (b"", [])


def test_only_touched_is_an_empty_patch(guest: Path) -> None:
    os.utime(guest / "text", (0, 0))
    assert taken(guest, head(guest)) == (b"", [])


def test_what_the_patch_says_of_each_file(guest: Path) -> None:
    everything(guest)
    _, changes = taken(guest)
    found = {each.path: each for each in changes}
    assert (found[b"text"].status, found[b"text"].added, found[b"text"].removed) == ("M", 1, 0)
    assert found[b"bin"].binary and found[b"new/deep/bin"].binary
    assert found[b"gone"].status == "D"
    assert (found[b"tool"].old_mode, found[b"tool"].mode) == ("100644", "100755")
    assert (found[b"sub/moved on"].status, found[b"sub/moved on"].source) == ("R", b"moved")
    assert (found[b"link"].mode, found[b"link"].target) == ("120000", b"crlf")
    assert found[b"new link"].target == b"no end\nhere"
    assert found[b"new\nline"].status == "M"
    assert found[b"new/empty"].status == "A"


def test_the_guests_repository_is_left_as_it_is(guest: Path) -> None:
    """Index, refs, stash, objects, and every other file of it."""
    (guest / "text").write_bytes(b"stashed\n")
    git(guest, "stash")
    half_committed(guest)
    git(guest, "add", "late")

    def seen() -> dict[str, tuple[bytes, int]]:
        files = [path for path in guest.rglob("*") if path.is_file() and not path.is_symlink()]
        return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    before = seen()
    taken(guest)
    assert seen() == before
    assert not list((guest / ".git").glob("banger-export*"))


def test_what_a_killed_export_left_is_cleared_away(guest: Path) -> None:
    (guest / ".git/banger-export.999999999/objects").mkdir(parents=True)
    taken(guest)
    assert not list((guest / ".git").glob("banger-export*"))


def test_ignored_files_stay_in_the_guest(guest: Path) -> None:
    write(guest, {"x.log": b"log\n", "build/out": b"out\n", "kept": b"kept\n"})
    assert [each.path for each in taken(guest)[1]] == [b"kept"]


def test_the_guests_settings_do_not_change_the_answer(host: Path, guest: Path, tmp_path: Path) -> None:
    everything(guest)
    plain, _ = taken(guest)
    evil = tmp_path / "evil"
    evil.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
    evil.chmod(0o755)
    for name, value in {
        "diff.external": str(evil), "diff.noprefix": "true", "diff.mnemonicPrefix": "true", "color.ui": "always",
        "color.diff": "always", "diff.renames": "copies", "diff.context": "0", "diff.interHunkContext": "9",
        "diff.srcPrefix": "x/", "diff.relative": "true", "diff.submodule": "log", "core.fsmonitor": str(evil),
        "core.quotePath": "false", "core.splitIndex": "true", "core.untrackedCache": "true",
        "diff.colorMoved": "zebra",
        "diff.wsErrorHighlight": "all", "diff.algorithm": "patience", "core.hooksPath": str(tmp_path),
        "diff.x.command": str(evil), "diff.x.textconv": str(evil), "diff.orderFile": "/nonexistent",
    }.items():  # fmt: skip
        git(guest, "config", name, value)
    shutil.copy(evil, tmp_path / "post-index-change")
    (guest / ".git/info/attributes").write_text("* diff=x\n")
    assert taken(guest)[0] == plain
    assert not (tmp_path / "ran").exists()
    assert ask(guest, "HEAD", env={"GIT_EXTERNAL_DIFF": str(evil), "GIT_DIFF_OPTS": "-u0"})[1].endswith(plain)


def test_blank_lines_of_context_may_be_empty(host: Path, guest: Path) -> None:
    git(guest, "config", "diff.suppressBlankEmpty", "true")
    write(guest, {"text": b"\n\n1\n\n\n2\n"})
    base = commit(guest)
    apply(host, taken(guest, head(host))[0])
    commit(host)
    write(guest, {"text": b"\n\n1\n\n\n3\n"})
    patch, _ = taken(guest, base)
    assert b"\n\n-2" in patch
    apply(host, patch)
    assert picture(host) == picture(guest)


def test_a_filter_of_the_guests_holds_as_in_a_commit(guest: Path) -> None:
    git(guest, "config", "filter.upper.clean", "tr a-z A-Z")
    (guest / ".git/info/attributes").write_text("new filter=upper\n")
    write(guest, {"new": b"lower\n"})
    assert b"+LOWER\n" in taken(guest)[0]


def test_a_repository_within_is_left_out_and_named(guest: Path) -> None:
    repository(guest / "vendor/lib ünï", {"x": b"x\n"})
    write(guest, {"vendor/own": b"own\n"})
    status, answer, _ = ask(guest)
    before, _, patch = answer.partition(b"\n\n")
    assert guest_git.head(before)[1] == ["vendor/lib ünï".encode()]
    assert status == 0 and b"vendor/own" in patch and b"vendor/lib" not in patch


def test_the_first_base_that_is_there_is_taken(guest: Path) -> None:
    first = head(guest)
    write(guest, {"text": b"2\n"})
    second = commit(guest)
    for bases, base in (((first,), first), (("f" * 40, second, first), second), (("nothing", "HEAD~1"), first)):
        assert ask(guest, *bases)[1].startswith(f"base {base}\n".encode())


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "guest")
    write(tmp_path / "guest", {"a": b"a\n"})
    assert [each.path for each in taken(tmp_path / "guest", "HEAD", ":empty")[1]] == [b"a"]


def test_a_linked_work_tree(guest: Path, tmp_path: Path) -> None:
    git(guest, "worktree", "add", "-q", "-b", "other", str(tmp_path / "linked: tree"))
    write(tmp_path / "linked: tree", {"text": b"x\n"})
    assert [each.path for each in taken(tmp_path / "linked: tree")[1]] == [b"text"]


def test_from_a_directory_below(guest: Path) -> None:
    (guest / "text").write_bytes(b"x\n")
    assert [each.path for each in taken(guest / "sub/deep")[1]] == [b"text"]


def test_sha256(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--object-format=sha256", "guest")
    guest = tmp_path / "guest"
    write(guest, {"a": b"a\n", "empty": b""})
    commit(guest)
    write(guest, {"a": b"b\n", "also": b"x\n"})
    (guest / "empty").unlink()
    assert {(each.status, each.path) for each in taken(guest)[1]} == {("M", b"a"), ("A", b"also"), ("D", b"empty")}


@pytest.mark.parametrize(
    ("bases", "prepare", "status"),
    [
        (("f" * 40,), lambda guest: None, 93),
        (("HEAD",), lambda guest: shutil.rmtree(guest / ".git"), 92),
        (("HEAD",), lambda guest: shutil.rmtree(guest), 92),
        (("HEAD",), lambda guest: (guest / ".git/HEAD").write_bytes(b"junk"), 92),
    ],
)
def test_what_cannot_be_told(
    guest: Path, bases: tuple[str, ...], prepare: Callable[[Path], object], status: int
) -> None:
    prepare(guest)
    assert ask(guest, *bases)[:2] == (status, b"")


def test_no_git(guest: Path, tmp_path: Path) -> None:
    assert ask(guest, env={"PATH": str(tmp_path)})[0] == 91


def test_an_older_git_is_asked_in_another_way(host: Path, guest: Path, tmp_path: Path) -> None:
    """One that knows no list of paths in a file (before 2.25): the same patch."""
    everything(guest)
    plain, _ = taken(guest)
    old = tmp_path / "git"
    old.write_text(
        f'#!/bin/sh\ncase "$*" in *--pathspec-from-file*) exit 129 ;; esac\nexec {shutil.which("git")} "$@"\n'
    )
    old.chmod(0o755)
    status, answer, said = ask(guest, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert status == 0, said
    assert answer.partition(b"\n\n")[2] == plain


def test_a_file_that_goes_while_it_is_looked_at(guest: Path, tmp_path: Path) -> None:
    write(guest, {"stays": b"x\n", "goes": b"x\n"})
    racing = tmp_path / "git"
    racing.write_text(
        f'#!/bin/sh\ncase "$*" in *--pathspec-from-file*) rm -f {guest}/goes ;; esac\nexec {shutil.which("git")} "$@"\n'
    )
    racing.chmod(0o755)
    status, answer, said = ask(guest, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert status == 0, said
    assert b"b/stays" in answer and b"goes" not in answer
