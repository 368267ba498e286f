"""Where a repository is, read from its files, against what git says."""

import os
from pathlib import Path

import pytest

from banger.workspace import head
from tests.repositories import commit, git, repository
from tests.repositories import head as asked


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return repository(tmp_path / "source", {"a": b"a\n"})


def test_on_a_branch_and_off_it(source: Path) -> None:
    first = asked(source)
    assert head.resolve(str(source), "HEAD") == first
    second = commit(source)
    assert head.resolve(str(source), "HEAD") == second != first
    git(source, "checkout", "-q", first)
    assert head.resolve(str(source), "HEAD") == first
    git(source, "checkout", "-q", "-b", "feature/x")
    assert head.resolve(str(source), "HEAD") == first


def test_packed_references(source: Path) -> None:
    git(source, "branch", "main-2")
    git(source, "branch", "x/main")
    first = asked(source)
    commit(source)
    git(source, "tag", "-a", "-m", "tag", "main")
    git(source, "pack-refs", "--all")
    assert not (source / ".git/refs/heads/main").exists()
    assert head.resolve(str(source), "HEAD") == asked(source)
    assert head.moved(str(source), asked(source), "main-2") == first
    third = commit(source)
    assert head.resolve(str(source), "HEAD") == third


def test_a_linked_work_tree(source: Path, tmp_path: Path) -> None:
    git(source, "worktree", "add", "-q", "-b", "other", str(tmp_path / "linked"))
    there = commit(tmp_path / "linked")
    assert head.resolve(str(tmp_path / "linked"), "HEAD") == there != asked(source)
    assert head.resolve(str(source), "HEAD") == asked(source)
    git(source, "pack-refs", "--all")
    assert head.resolve(str(tmp_path / "linked"), "HEAD") == there


def test_a_git_directory_elsewhere(source: Path, tmp_path: Path) -> None:
    (source / ".git").rename(tmp_path / "elsewhere")
    for place in ("../elsewhere", str(tmp_path / "elsewhere")):
        (source / ".git").write_text(f"gitdir: {place}\n")
        assert head.resolve(str(source), "HEAD") == asked(source)


def test_what_has_moved(source: Path) -> None:
    first = asked(source)
    assert head.moved(str(source), first) is None
    second = commit(source)
    assert head.moved(str(source), first) == second
    assert head.moved(str(source), None) == second
    assert head.moved(str(source), second, "main") is None
    assert head.moved(str(source), first, "main") == second
    assert head.moved(str(source), first, "main~1") is None  # for git alone to work out


def test_no_repository_no_commit_and_nonsense_are_not_known(source: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "empty")
    assert head.resolve(str(tmp_path / "empty"), "HEAD") is None
    assert head.resolve(str(tmp_path / "missing"), "HEAD") is None
    assert head.resolve(str(tmp_path), "HEAD") is None
    head_file = source / ".git/HEAD"
    for text in ("", "junk", "ref: ../../../etc/passwd", "ref: refs/../../x", "ref: refs/heads/.invalid", "x" * 10_000):
        head_file.write_text(text)
        assert head.resolve(str(source), "HEAD") is None
    (source / ".git/refs/heads/a").write_text("ref: refs/heads/a\n")
    head_file.write_text("ref: refs/heads/a\n")
    assert head.resolve(str(source), "HEAD") is None
    head_file.unlink()
    os.mkfifo(head_file)
    assert head.resolve(str(source), "HEAD") is None
    assert head.moved(str(source), "1" * 40, "a\0b") is None
