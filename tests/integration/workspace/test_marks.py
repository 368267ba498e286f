"""What an import keeps in the machine's git, so that an export begins from it: with real git."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from banger.workspace import guest_git
from tests.integration.workspace.conftest import Repo, Scene, everything
from tests.patches import picture
from tests.repositories import ENVIRONMENT, apply, git, head, taken, write


def marked(guest: Path, new: str, last: tuple[str, str | None] | None, *names: str) -> None:
    """What an import does at its end."""
    data = b"".join(os.fsencode(name) + b"\0" for name in names)
    done = subprocess.run(
        guest_git.mark(str(guest), new, *(last or (None, head(guest)))),
        input=data,
        env=ENVIRONMENT,
        capture_output=True,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    assert not list((guest / ".git").glob("banger-export*"))


def exported(guest: Path, new: str, commit: str) -> list[bytes]:
    return [each.path for each in taken(guest, guest_git.IMPORTED + new, commit)[1]]


def test_edits_of_the_host_s_before_the_import_are_not_the_guest_s(host: Path, guest: Path) -> None:
    base = head(host)
    for tree in (host, guest):
        write(tree, {"text": b"edited on the host\n", "untracked": b"on the host\n", "new\nline": b"edited\n"})
        (tree / "gone").unlink()
        (tree / "tool").chmod(0o755)
    marked(guest, "1", None, "text", "untracked", "new\nline", "gone", "tool")
    assert git(guest, "diff", "--cached", "--name-only") == b""
    assert exported(guest, "1", base) == []
    everything(guest)
    apply(host, taken(guest, guest_git.IMPORTED + "1", base)[0])
    assert picture(host) == picture(guest)


def test_the_next_import_moves_what_it_brought_and_nothing_else(host: Path, guest: Path) -> None:
    base = head(host)
    for tree in (host, guest):
        write(tree, {"text": b"edited\n", "latin": b"edited\n"})
    marked(guest, "1", None, "text", "latin")
    write(guest, {"latin": b"by the guest\n", "own": b"by the guest\n"})
    for tree in (host, guest):
        write(tree, {"text": b"edited again\n"})
        (tree / "crlf").unlink()
    marked(guest, "2", ("1", base), "text", "crlf")
    assert exported(guest, "2", base) == [b"latin", b"own"]
    apply(host, taken(guest, guest_git.IMPORTED + "2", base)[0])
    assert picture(host) == picture(guest)
    assert git(guest, "for-each-ref", "refs/banger").decode().split()[-1] == guest_git.IMPORTED + "2"


def test_the_first_edit_after_a_clean_import(host: Path, guest: Path) -> None:
    base = head(host)
    write(guest, {"own": b"by the guest\n"})
    write(guest, {"text": b"edited on the host\n"})
    marked(guest, "2", ("1", base), "text")
    assert exported(guest, "2", base) == [b"own"]


def as_it_came(guest: Path, commit: str) -> None:
    """The index beside git's own that an import brings."""
    shutil.copy2(guest / ".git/index", guest / os.fsdecode(guest_git.PRISTINE))
    (guest / os.fsdecode(guest_git.PRISTINE_OF)).write_text(f"{commit}\n")


@pytest.mark.parametrize("last", [None, "1"])
def test_the_first_edits_are_marked_in_the_index_as_it_came(host: Path, guest: Path, last: str | None) -> None:
    base = head(host)
    as_it_came(guest, base)
    git(guest, "rm", "-q", "--cached", "latin")
    write(guest, {"text": b"edited on the host\n"})
    marked(guest, "2", (last, base) if last else None, "text")
    assert not (guest / os.fsdecode(guest_git.PRISTINE)).exists()
    assert exported(guest, "2", base) == []


def test_an_index_of_another_commit_is_not_taken_for_it(host: Path, guest: Path) -> None:
    base = head(host)
    git(guest, "rm", "-q", "--cached", "latin")
    as_it_came(guest, "0" * 40)
    write(guest, {"text": b"edited on the host\n"})
    marked(guest, "2", ("1", base), "text")
    assert kept(guest) == [guest_git.IMPORTED + "2", "banger-commit", "banger-imported-2"]
    assert exported(guest, "2", base) == []


def kept(guest: Path) -> list[str]:
    """The trees of imports, and the indexes that they were made of."""
    names = git(guest, "for-each-ref", "--format=%(refname)", "refs/banger").decode().split()
    return [*names, *sorted(each.name for each in (guest / ".git").glob("banger-*"))]


def test_an_import_without_edits_is_no_base_of_the_next(host: Path, guest: Path) -> None:
    base = head(host)
    write(guest, {"text": b"edited on the host\n"})
    marked(guest, "1", None, "text")
    git(guest, "checkout", "--", "text")
    write(guest, {"latin": b"edited on the host\n", "own": b"by the guest\n"})
    marked(guest, "3", ("2", base), "latin")
    assert kept(guest) == [guest_git.IMPORTED + "3", "banger-imported-3"]
    assert exported(guest, "3", base) == [b"own"]


def test_what_a_marking_left_that_was_killed_goes_with_the_next(host: Path, guest: Path) -> None:
    write(guest, {"text": b"edited on the host\n"})
    marked(guest, "1", None, "text")
    (guest / ".git/banger-imported-1").rename(guest / ".git/banger-imported-2")
    (guest / ".git/banger-imported-2.lock").write_bytes(b"half an index")
    marked(guest, "3", ("1", head(host)), "text")
    assert kept(guest) == [guest_git.IMPORTED + "3", "banger-imported-3"]


def test_a_kept_index_that_is_lost_is_made_again(host: Path, guest: Path) -> None:
    base = head(host)
    write(guest, {"text": b"edited on the host\n"})
    marked(guest, "1", None, "text")
    (guest / ".git/banger-imported-1").unlink()
    write(guest, {"latin": b"edited on the host\n", "own": b"by the guest\n"})
    marked(guest, "2", ("1", base), "latin")
    assert kept(guest) == [guest_git.IMPORTED + "2", "banger-imported-2"]
    assert exported(guest, "2", base) == [b"own"]


def test_an_import_brings_the_index_that_its_first_edits_are_marked_in(scene: Scene, app: Repo) -> None:
    first = scene.prepare(app)
    guest = scene.guest().top
    pristine = guest / os.fsdecode(guest_git.PRISTINE)
    assert pristine.samefile(guest / ".git/index")
    app.write("deep/er/3", "edited\n")
    second = scene.prepare()
    marked(guest, second.id, (first.id, first.commit), "deep/er/3")
    assert not pristine.exists()
    assert exported(guest, second.id, str(second.commit)) == []
