"""What arrives in a machine, of repositories of every kind."""

import itertools
import os
import time
from pathlib import Path

import pytest

from banger import Sandbox, errors
from banger.sdk import workspace
from banger.sdk.workspace import Sent
from banger.workspace import git
from tests.integration.workspace.conftest import VM, Repo, Scene


def test_the_repository_arrives_as_a_real_one(scene: Scene, app: Repo) -> None:
    app.git("remote", "add", "origin", "https://ada:secret@example.org/app.git")
    done = scene.prepare(app)
    guest = scene.guest()
    assert done == scene.workspace and done.complete
    assert (done.path, done.source, done.commit, done.branch) == (str(guest.top), str(app.top), app.head, "main")
    assert guest.head == app.head and guest.git("symbolic-ref", "HEAD") == "refs/heads/main\n"
    assert guest.git("rev-list", "--count", "HEAD") == "10\n"
    assert guest.git("fsck", "--strict", "--full") == "" and guest.status() == []
    assert guest.git("config", "user.name") == 'Ada "L" Ünï\n'
    assert guest.git("config", "remote.origin.url") == "https://example.org/app.git\n"
    assert guest.git("ls-files") == app.git("ls-files")
    assert not (guest.top / ".git" / "hooks").exists()


def test_edits_arrive_unstaged_and_what_is_left_behind_is_left(scene: Scene, app: Repo) -> None:
    app.write(".gitignore", "*.o\n")
    app.commit()
    app.write("file", "edited\n")
    app.write("staged", "staged\n")
    app.git("add", "staged")
    (app.top / "deep" / "er" / "3").unlink()
    app.write("untracked")
    app.write("ignored.o")
    scene.prepare(app)
    guest = scene.guest()
    assert sorted(guest.status()) == [" D deep/er/3", " M file", "?? staged"]
    assert not (guest.top / "untracked").exists() and not (guest.top / "ignored.o").exists()
    scene.prepare(app, untracked=True)
    assert sorted(guest.status()) == [" D deep/er/3", " M file", "?? staged", "?? untracked"]
    assert not (guest.top / "ignored.o").exists()
    scene.prepare()  # as the last time
    assert (guest.top / "untracked").exists()


NAMES = ["with space", "new\nline", "ünï", "-rf", "--", "a'b\"c", "tab\there", "x" * 200, "d/" * 60 + "deep", " ", "\\"]


def test_names_of_every_kind_and_modes(scene: Scene, app: Repo) -> None:
    for name in NAMES:
        app.write(name, name)
    (app.top / os.fsdecode(b"\xff\xfe")).write_text("not UTF-8")
    app.write("program", "#!/bin/sh\n", 0o755)
    (app.top / "inside").symlink_to("file")
    (app.top / "outside").symlink_to("/etc/passwd")
    (app.top / "dangling").symlink_to("../../../" + "t" * 150)
    app.write("empty", "")
    app.write("large", os.urandom(3_000_000))
    app.commit()
    scene.prepare(app)
    guest = scene.guest()
    assert guest.status() == []
    for path in sorted(app.top.rglob("*")):
        if ".git" in path.parts or (path.is_dir() and not path.is_symlink()):
            continue
        copy = guest.top / path.relative_to(app.top)
        assert copy.is_symlink() == path.is_symlink()
        if path.is_symlink():
            assert copy.readlink() == path.readlink()
        else:
            assert copy.read_bytes() == path.read_bytes() and copy.stat().st_mode == path.stat().st_mode


def test_git_there_need_not_read_what_has_not_changed(scene: Scene, app: Repo) -> None:
    for path in app.top.rglob("*"):
        if path.is_file() and ".git" not in path.parts:
            os.utime(path, (1_700_000_000, 1_700_000_000))
    app.git("update-index", "--refresh")
    scene.prepare(app)
    guest = scene.guest()
    before = (guest.top / ".git" / "index").read_bytes()
    (guest.top / "file").chmod(0o000)  # unreadable for a plain user; under root its content is another
    assert guest.status() in ([], [" M file"])  # the mode is not what is asked here
    (guest.top / "file").chmod(0o644)
    assert (guest.top / ".git" / "index").read_bytes() == before


def test_a_directory_in_it_stands_for_the_whole(app: Repo) -> None:
    found = workspace.again(str(app.top / "deep"), None)
    assert (found.repository.top, found.repository.below) == (str(app.top), "deep")


def test_before_the_first_commit(scene: Scene, tmp_path: Path) -> None:
    repo = Repo(tmp_path / "app")
    repo.write("file")
    repo.git("add", "file")
    done = scene.prepare(repo)
    guest = scene.guest()
    assert (done.commit, done.branch) == (None, "main")
    assert guest.status() == ["?? file"] and guest.git("symbolic-ref", "HEAD") == "refs/heads/main\n"
    repo.commit()
    assert scene.prepare().commit == repo.head
    assert guest.status() == [] and guest.head == repo.head


def test_a_detached_head(scene: Scene, app: Repo) -> None:
    app.git("checkout", "-q", "--detach", "HEAD~3")
    done = scene.prepare(app)
    assert (done.branch, done.commit) == (None, app.head)
    assert scene.guest().head == app.head and scene.guest().status() == []


def test_in_the_middle_of_a_conflict(scene: Scene, app: Repo) -> None:
    app.git("checkout", "-q", "-b", "other", "HEAD~2")
    app.commit(file="other\n")
    app.git("merge", "-q", "main", check=False)
    assert "UU file" in app.status()
    scene.prepare(app)
    guest = scene.guest()
    assert "<<<<<<<" in (guest.top / "file").read_text() and guest.head == app.head
    assert " M file" in guest.status()


def test_in_the_middle_of_a_rebase(scene: Scene, app: Repo) -> None:
    app.git("checkout", "-q", "-b", "other", "HEAD~2")
    app.commit(file="other\n", mine="x\n")
    app.git("rebase", "-q", "main", check=False)
    assert (app.top / ".git" / "rebase-merge").is_dir() and "UU file" in app.status()
    done = scene.prepare(app)
    guest = scene.guest()
    assert (done.branch, done.commit) == (None, app.head), "HEAD is detached while it goes on"
    assert "<<<<<<<" in (guest.top / "file").read_text() and " M file" in guest.status()
    assert "rebase" not in guest.git("status"), "which is the host's"
    app.write("file", "both\n")
    app.git("add", "file")
    app.git("-c", "core.editor=true", "rebase", "--continue")
    assert scene.prepare().branch == "other"
    assert guest.status() == [] and guest.head == app.head and (guest.top / "mine").read_text() == "x\n"


def test_a_worktree(scene: Scene, app: Repo) -> None:
    other = app.top.parent / "tree"
    app.git("worktree", "add", "-q", "-b", "side", str(other))
    scene.prepare(Repo(other))
    guest = scene.guest("tree")
    assert guest.status() == [] and guest.git("branch", "--show-current") == "side\n"


def test_a_shallow_clone_and_one_that_borrows_objects(scene: Scene, app: Repo, tmp_path: Path) -> None:
    for name, options in (("shallow", ["--depth", "4"]), ("borrows", ["--shared"])):
        app.git(
            "clone", "-q", *options, f"file://{app.top}" if name == "shallow" else str(app.top), str(tmp_path / name)
        )
        scene.prepare(Repo(tmp_path / name))
        guest = scene.guest(name)
        assert guest.git("fsck", "--full") == "" and guest.status() == []
        assert guest.git("rev-list", "--count", "HEAD") == ("4\n" if name == "shallow" else "10\n")


def test_a_repository_of_sha256(scene: Scene, tmp_path: Path) -> None:
    repo = Repo(tmp_path / "app", "--object-format=sha256")
    repo.commit(file="x")
    scene.prepare(repo)
    assert scene.guest().status() == [] and scene.guest().head == repo.head


def test_a_history_with_merges_is_cut_at_the_same_depth_everywhere(scene: Scene, app: Repo) -> None:
    app.git("checkout", "-q", "-b", "side", "HEAD~11")
    for number in range(12):
        app.commit(f"side {number}", side=f"{number}")
    app.git("checkout", "-q", "main")
    app.git("merge", "-q", "--no-edit", "side")
    scene.prepare(app)
    guest = scene.guest()
    assert guest.git("rev-list", "--count", "HEAD") == "19\n"  # the merge, and nine of each side
    assert guest.git("fsck", "--full") == "" and guest.status() == []


def test_line_ends_are_left_as_they_are(scene: Scene, app: Repo) -> None:
    app.git("config", "core.autocrlf", "true")
    app.commit(windows="one\r\ntwo\r\n")
    app.write("windows", b"one\r\ntwo\r\n")
    scene.prepare(app)
    guest = scene.guest()
    assert (guest.top / "windows").read_bytes() == b"one\r\ntwo\r\n"
    assert guest.status() == []
    os.utime(guest.top / "windows")
    assert guest.status() == []


def test_a_pointer_of_a_large_file_is_a_file(scene: Scene, app: Repo) -> None:
    app.write(".gitattributes", "*.bin filter=lfs -text\n")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"
    app.commit(**{"a.bin": pointer})
    scene.prepare(app)
    assert (scene.guest().top / "a.bin").read_text() == pointer and scene.guest().status() == []


def test_a_sparse_checkout_stays_sparse(scene: Scene, app: Repo) -> None:
    app.commit(**{"left/out": "x", "kept/in": "y"})
    app.git("sparse-checkout", "set", "kept")
    scene.prepare(app)
    guest = scene.guest()
    assert guest.status() == [] and not (guest.top / "left").exists() and (guest.top / "kept" / "in").exists()


def test_files_that_git_was_told_not_to_look_at_are_looked_at(scene: Scene, app: Repo) -> None:
    app.git("update-index", "--assume-unchanged", "file")
    app.write("file", "edited\n")
    scene.prepare(app)
    assert (scene.guest().top / "file").read_text() == "edited\n" and scene.guest().status() == [" M file"]


def test_a_directory_that_has_become_a_link_is_not_followed(scene: Scene, app: Repo, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "er").mkdir()
    (secret / "er" / "3").write_text("secret")
    for path in sorted((app.top / "deep").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (app.top / "deep").rmdir()
    (app.top / "deep").symlink_to(secret)
    scene.prepare(app)
    assert not (scene.guest().top / "deep").exists()
    assert " D deep/er/3" in scene.guest().status()


def test_a_branch_of_the_guests_own(scene: Scene, app: Repo) -> None:
    app.write("file", "edited\n")
    done = scene.prepare(app, branch="try/this")
    guest = scene.guest()
    assert (done.branch, done.start, done.commit) == ("try/this", "HEAD", app.head)
    assert guest.git("branch", "--show-current") == "try/this\n" and guest.status() == [" M file"]
    assert "try" not in app.git("branch", "--list")


def test_a_branch_from_another_commit_has_the_files_of_that_commit(scene: Scene, app: Repo) -> None:
    app.git("tag", "old", "HEAD~5")
    app.write("file", "edited\n")
    done = scene.prepare(app, branch="try", start="old")
    guest = scene.guest()
    assert (done.branch, done.start) == ("try", "old") and done.commit == app.git("rev-parse", "old").strip()
    assert guest.status() == [] and guest.git("fsck", "--full") == ""
    assert (guest.top / "file").read_text() == "6\n" and not (guest.top / "deep" / "er" / "9").exists()
    before = (guest.top / "file").stat().st_mtime_ns
    time.sleep(1.1)
    app.git("tag", "-f", "old", "HEAD~4")
    assert scene.prepare().commit == app.git("rev-parse", "old").strip()
    assert guest.status() == [] and (guest.top / "file").read_text() == "7\n"
    assert (guest.top / "file").stat().st_mtime_ns > before
    assert (guest.top / "deep" / "er" / "3").stat().st_mtime_ns == before


def refusal(path: Path, **options: object) -> errors.BangerError:
    with pytest.raises(errors.BangerError) as raised:
        workspace.again(str(path), None, **options)  # type: ignore[arg-type]
    return raised.value


def test_what_cannot_be_imported_is_refused_with_the_reason(app: Repo, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    bare = Repo(tmp_path / "bare.git", "--bare")
    app.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(app.top), "sub")
    for path, code, words in [
        (tmp_path / "none", "no_such_path", "none"),
        (tmp_path / "plain", "no_repository", "not inside a git repository"),
        (app.top / "file", "no_repository", "not a directory"),
        (bare.top, "no_repository", "bare"),
        (app.top / ".git", "no_repository", "inside a .git directory"),
        (app.top, "no_repository", "submodules"),
    ]:
        failed = refusal(path)
        assert failed.code == code and words in failed.message, path


def test_options_that_make_no_sense_are_refused(app: Repo) -> None:
    for options, words in [
        ({"start": "main"}, "--branch"),
        ({"branch": "b", "start": "none"}, "no commit 'none'"),
        ({"branch": "b", "start": "--all"}, "no commit"),
        ({"branch": "a..b"}, "cannot be the name of a branch"),
        ({"branch": "-b"}, "cannot be the name of a branch"),
        ({"branch": "a\nb"}, "cannot be the name of a branch"),
    ]:
        assert words in refusal(app.top, **options).message, options


def test_what_is_not_tracked_is_counted_and_not_read(app: Repo) -> None:
    for number in range(3):
        with app.write(f"data{number}").open("wb") as file:
            file.truncate(1 << 40)  # reading one would outlast any test
    assert workspace.again(str(app.top), None).left == 3


def test_a_repository_that_belongs_to_another_user(app: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(git.ENVIRONMENT, "GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    failed = refusal(app.top)
    assert "belongs to another user" in failed.message and "safe.directory" in failed.advice


@pytest.mark.root
def test_a_repository_that_is_really_another_user_s(app: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for path in (app.top, *app.top.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    assert "belongs to another user" in refusal(app.top).message


def test_variables_of_a_hook_that_calls_us_count_for_nothing(app: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    assert workspace.again(str(app.top), None).commit is not None


def test_names_that_are_not_text_can_conflict_too(scene: Scene, app: Repo) -> None:
    name = os.fsdecode(b"\xff\xfe")
    app.write(name)
    app.commit()
    scene.prepare(app)
    scene.guest().write(name, "theirs")
    app.write(name, "ours")
    with pytest.raises(errors.WorkspaceConflict):
        scene.prepare()


def test_how_far_it_is_is_told_stage_by_stage(scene: Scene, app: Repo) -> None:
    app.commit(large="")
    app.write("large", os.urandom(3 << 20))
    told: list[Sent] = []
    scene.prepare(app, watch=told.append)
    assert [stage for stage, _ in itertools.groupby(each.stage for each in told)] == ["files", "history"]
    for stage in ("files", "history"):
        far = [each.done for each in told if each.stage == stage]
        (total,) = {each.total for each in told if each.stage == stage}
        assert far == sorted(far) and far[-1] == total
    assert len({each.done for each in told if each.stage == "files"}) > 5
    assert next(each.total for each in told) >= 3 << 20
    told.clear()
    Sandbox.existing(VM, client=scene.client).prepare(str(app.top), watch=told.append)
    assert {each.total for each in told} == {0}, "there is nothing to send"
