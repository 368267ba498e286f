"""The second import and the later ones: what is sent, what is kept, what is refused."""

import os
import shutil
import stat
from collections.abc import Iterator

import pytest

from banger import errors
from banger.sdk import workspace
from banger.workspace import bundle
from tests.integration.workspace.conftest import VM, Repo, Scene


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The names that imports send or remove, without those of git."""
    found: list[bytes] = []
    stream = bundle.stream

    def watched(source: object, plan: object, *rest: object) -> Iterator[bytes]:
        found[:] = [*plan.send, *plan.remove]  # type: ignore[attr-defined]
        return stream(source, plan, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(bundle, "stream", watched)
    return found


def test_only_what_has_changed_is_sent(scene: Scene, app: Repo, sent: list[bytes]) -> None:
    scene.prepare(app)
    assert len(sent) > 12
    app.write("deep/er/3", "edited\n")
    app.write("new")
    app.git("add", "new")
    (app.top / "deep" / "er" / "4").unlink()
    scene.prepare()
    assert sorted(sent) == [b"deep/er/3", b"deep/er/4", b"new"]
    guest = scene.guest()
    assert sorted(guest.status()) == [" D deep/er/4", " M deep/er/3", "?? new"]
    scene.prepare()
    assert sent == []


def test_a_workspace_that_was_removed_in_the_machine_comes_back(scene: Scene, app: Repo) -> None:
    app.write("deep/er/3", "edited\n")
    scene.prepare(app)
    before = scene.guest().status()
    shutil.rmtree(scene.guest().top)
    scene.prepare()
    assert scene.guest().status() == before
    assert scene.guest().git("rev-parse", "HEAD") == app.git("rev-parse", "HEAD")


def test_directories_that_become_empty_go_and_those_that_do_not_stay(scene: Scene, app: Repo) -> None:
    app.commit(**{"one/two/three": "x", "kept/file": "x"})
    scene.prepare(app)
    guest = scene.guest()
    guest.write("kept/theirs")
    app.git("rm", "-qr", "one", "kept")
    app.commit()
    scene.prepare()
    assert not (guest.top / "one").exists() and not (guest.top / "kept" / "file").exists()
    assert (guest.top / "kept" / "theirs").exists()
    assert guest.status() == ["?? kept/"]


def test_a_file_becomes_a_directory_and_a_link_and_back(scene: Scene, app: Repo) -> None:
    app.commit(changing="file")
    scene.prepare(app)
    guest = scene.guest()
    app.git("rm", "-q", "changing")
    app.commit(**{"changing/inside": "x"})
    scene.prepare()
    assert (guest.top / "changing" / "inside").is_file() and guest.status() == []
    app.git("rm", "-qr", "changing")
    (app.top / "changing").symlink_to("file")
    app.commit()
    scene.prepare()
    assert (guest.top / "changing").is_symlink() and guest.status() == []
    (app.top / "changing").unlink()
    app.commit(changing="again")
    scene.prepare()
    assert (guest.top / "changing").read_text() == "again" and guest.status() == []


def test_new_commits_arrive_with_their_history(scene: Scene, app: Repo) -> None:
    scene.prepare(app)
    guest = scene.guest()
    packs = len(list((guest.top / ".git" / "objects" / "pack").glob("*.pack")))
    for number in range(3):
        app.commit(file=f"later {number}\n")
    scene.prepare()
    assert guest.head == app.head and guest.status() == [] and guest.git("fsck", "--full", "--no-dangling") == ""
    assert guest.git("rev-list", "--count", "HEAD") == "13\n"
    assert len(list((guest.top / ".git" / "objects" / "pack").glob("*.pack"))) == packs + 1
    for number in range(25):
        app.commit(file=f"much later {number}\n")
    scene.prepare()
    assert guest.git("rev-list", "--count", "HEAD") == "10\n" and guest.git("fsck", "--full", "--no-dangling") == ""


def test_another_branch_and_back(scene: Scene, app: Repo) -> None:
    scene.prepare(app)
    guest = scene.guest()
    app.git("checkout", "-q", "-b", "side", "HEAD~4")
    app.commit(side="x")
    scene.prepare()
    assert guest.git("branch", "--show-current") == "side\n" and guest.status() == []
    app.git("checkout", "-q", "main")
    app.commit(file="newer\n")
    done = scene.prepare()
    assert (done.branch, guest.head) == ("main", app.head) and guest.status() == []
    assert guest.git("fsck", "--full", "--no-dangling") == ""
    assert set(guest.git("branch", "--format=%(refname:short)").split()) == {"main", "side"}


def test_a_history_that_was_rewritten(scene: Scene, app: Repo) -> None:
    scene.prepare(app)
    app.git("reset", "-q", "--hard", "HEAD~3")
    app.commit(file="another\n")
    app.git("reflog", "expire", "--expire=now", "--all")
    app.git("gc", "-q", "--prune=now")
    scene.prepare()
    guest = scene.guest()
    assert guest.head == app.head and guest.status() == [] and guest.git("fsck", "--full", "--no-dangling") == ""


def conflict(scene: Scene, *names: str) -> str:
    """The import is refused, tells these names, and has changed nothing."""
    before, listed = scene.workspace, scene.client.vm_workspace_listing(VM)
    with pytest.raises(errors.WorkspaceConflict) as raised:
        scene.prepare()
    assert raised.value.data["count"] == len(names)
    assert all(name in raised.value.message for name in names), raised.value.message
    assert scene.workspace == before and scene.client.vm_workspace_listing(VM) == listed
    return raised.value.message


def test_what_the_machine_has_changed_stays_where_this_host_has_not(scene: Scene, app: Repo) -> None:
    scene.prepare(app)
    guest = scene.guest()
    guest.write("file", "theirs\n")
    guest.write("theirs", "x")
    (guest.top / "deep" / "er" / "1").unlink()
    app.write("deep/er/2", "ours\n")
    scene.prepare()
    assert (guest.top / "file").read_text() == "theirs\n" and (guest.top / "theirs").exists()
    assert not (guest.top / "deep" / "er" / "1").exists()
    assert (guest.top / "deep" / "er" / "2").read_text() == "ours\n"


def test_what_both_have_changed_is_refused_and_overwritten_on_demand(scene: Scene, app: Repo) -> None:
    app.commit(removed="x", deleted="x", mode="x")
    scene.prepare(app)
    guest = scene.guest()
    guest.write("file", "theirs\n")
    guest.write("removed", "theirs\n")
    (guest.top / "deleted").unlink()
    guest.write("added", "theirs\n")
    (guest.top / "mode").chmod(0o755)
    app.write("file", "ours, longer\n")
    app.git("rm", "-q", "removed")
    app.write("deleted", "ours\n")
    app.write("added", "ours, as new\n")
    app.git("add", "added")
    app.write("mode", "ours\n")
    app.write("deep/er/1", "ours\n")
    conflict(scene, "file", "removed", "deleted", "added", "mode")
    assert (guest.top / "deep" / "er" / "1").read_text() == "x\n"
    scene.prepare(overwrite=True)
    assert (guest.top / "file").read_text() == "ours, longer\n" and not (guest.top / "removed").exists()
    assert (guest.top / "deleted").read_text() == "ours\n" and (guest.top / "added").read_text() == "ours, as new\n"
    assert not (guest.top / "mode").stat().st_mode & 0o100
    scene.prepare()


def test_what_both_have_changed_alike_is_no_conflict(scene: Scene, app: Repo) -> None:
    """As after a patch was taken from the machine and applied here."""
    scene.prepare(app)
    guest = scene.guest()
    for repo in (guest, app):
        repo.write("file", "the same\n")
        repo.write("added", "the same\n")
        (repo.top / "deep" / "er" / "5").unlink()
        (repo.top / "link").symlink_to("file")
    app.git("add", "-A")
    scene.prepare()
    scene.prepare()
    assert (guest.top / "file").read_text() == "the same\n"


def test_commits_of_the_machine_are_not_lost(scene: Scene, app: Repo) -> None:
    scene.prepare(app)
    guest = scene.guest()
    theirs = guest.commit("theirs", theirs="x")
    app.write("deep/er/1", "ours\n")
    scene.prepare()  # HEAD has not moved here: nothing is in the way
    assert guest.head == theirs and (guest.top / "deep" / "er" / "1").read_text() == "ours\n"
    ours = app.commit("ours")
    assert "commits were made there" in conflict(scene, "branch main", "index")
    assert guest.head == theirs
    scene.prepare(overwrite=True)
    assert guest.head == ours
    (kept,) = guest.git("for-each-ref", "--format=%(objectname)", "refs/banger").split()
    assert kept == theirs and guest.git("fsck", "--full", "--no-dangling") == "" and (guest.top / "theirs").exists()


def test_what_is_staged_in_the_machine_is_not_lost(scene: Scene, app: Repo) -> None:
    scene.prepare(app)
    guest = scene.guest()
    guest.write("staged")
    guest.git("add", "staged")
    app.commit(file="ours\n")
    conflict(scene, "the index")


def test_another_branch_in_the_machine_is_not_lost(scene: Scene, app: Repo) -> None:
    scene.prepare(app)
    guest = scene.guest()
    guest.git("checkout", "-q", "-b", "theirs")
    app.commit(file="ours\n")
    conflict(scene, "HEAD")


def test_looking_at_the_status_there_is_no_change(scene: Scene, app: Repo) -> None:
    scene.prepare(app)
    guest = scene.guest()
    for path in guest.top.rglob("*"):
        if path.is_file() and ".git" not in path.parts:
            os.utime(path)
    (guest.top / "file").write_text((app.top / "file").read_text())
    assert guest.status() == []  # and the index was written
    app.git("rm", "-q", "deep/er/2")
    app.commit(**{"deep/er/1": "ours\n"})
    scene.prepare()
    assert guest.head == app.head and guest.status() == []


def test_a_link_in_place_of_a_directory_is_not_followed(scene: Scene, app: Repo) -> None:
    scene.prepare(app)
    guest = scene.guest()
    elsewhere = scene.root / "elsewhere"
    (guest.top / "deep").rename(elsewhere)
    (guest.top / "deep").symlink_to(elsewhere)
    app.write("deep/er/1", "ours\n")
    (app.top / "deep" / "er" / "2").unlink()
    conflict(scene, "deep")
    scene.prepare(overwrite=True)
    assert (elsewhere / "er" / "1").read_text() == "x\n" and (elsewhere / "er" / "2").exists()
    assert not (guest.top / "deep").is_symlink()
    assert sorted(guest.status()) == [" D deep/er/2", " M deep/er/1"]


def test_a_directory_of_the_machines_own_is_not_taken_over(scene: Scene, app: Repo) -> None:
    (scene.root / "app").mkdir()
    (scene.root / "app").chmod(0o777)
    (scene.root / "app" / "file").write_text("theirs\n")
    with pytest.raises(errors.WorkspaceConflict):
        scene.prepare(app)
    assert scene.client.vm_show(VM).workspace is None and (scene.root / "app" / "file").read_text() == "theirs\n"
    (scene.root / "app" / "file").unlink()
    (scene.root / "app" / "other").write_text("theirs\n")
    scene.prepare(app)
    assert scene.guest().status() == ["?? other"]


def test_a_directory_where_a_file_is_to_be(scene: Scene, app: Repo) -> None:
    scene.prepare(app)
    guest = scene.guest()
    (guest.top / "file").unlink()
    guest.write("file/of/theirs")
    app.write("file", "ours\n")
    for overwrite in (False, True):
        with pytest.raises(errors.WorkspaceConflict) as raised:
            scene.prepare(overwrite=overwrite)
        assert "directory" in raised.value.advice
    assert (guest.top / "file" / "of" / "theirs").exists()


def test_another_repository_is_another_workspace(scene: Scene, app: Repo) -> None:
    scene.prepare(app)
    other = Repo(app.top.parent / "other")
    other.commit(file="other\n")
    done = scene.prepare(other)
    assert done == scene.workspace and done.path.endswith("/other")
    assert scene.guest("other").status() == [] and scene.guest("app").status() == []


def test_what_was_never_imported_cannot_be_imported_again(scene: Scene) -> None:
    with pytest.raises(errors.NoWorkspace, match="nothing was imported into 'one' yet"):
        scene.prepare()


def test_modes_follow(scene: Scene, app: Repo) -> None:
    scene.prepare(app)
    app.write("file", "11\n", 0o755)
    scene.prepare()
    assert stat.S_IMODE((scene.guest().top / "file").stat().st_mode) == 0o755
    assert scene.guest().status() == [" M file"]


def test_a_place_without_dots(scene: Scene, tmp_path: object) -> None:
    repo = Repo(scene.root.parent / "src" / ".ssh")
    repo.commit(file="x")
    assert scene.prepare(repo).path == f"{workspace.HOME}/ssh"
