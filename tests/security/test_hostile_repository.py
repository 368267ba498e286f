"""Repositories made to harm the host that imports them, or to take more of it along than they are."""

import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger import errors
from banger.sdk import workspace
from banger.workspace import bundle, history, index, listing, plan, snapshot
from banger.workspace.listing import Blob, Entry
from tests.integration.workspace.conftest import Repo


@pytest.fixture
def app(tmp_path: Path) -> Repo:
    repo = Repo(tmp_path / "app")
    for number in range(3):
        repo.commit(file=f"{number}\n", other="x")
    return repo


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Path]:
    """A program that leaves a trace; none may be there at the end."""
    trace = tmp_path / "trace"
    program = tmp_path / "witness"
    program.write_text(f"#!/bin/sh\necho \"$0 $*\" >> '{trace}'\ncat\n")
    program.chmod(0o755)
    yield program
    assert not trace.exists(), trace.read_text()


def read_all(repo: Repo, tmp_path: Path, **options: object) -> bytes:
    """Everything that an import does on this host."""
    taken = workspace.again(str(repo.top), None, **options)  # type: ignore[arg-type]
    files = taken.settle({})
    moved = bundle.moved(taken, files, None, first=True)
    files = files | bundle.entries(moved)
    made = plan.fresh(files)
    pieces = bundle.stream(taken, made, listing.dump(files), b"app", str(tmp_path / "room"), files, moved)
    return b"".join(pieces)


PROGRAMS = (
    "core.fsmonitor", "core.pager", "core.editor", "core.sshCommand", "core.gitProxy", "core.askPass",
    "core.alternateRefsCommand", "diff.external", "diff.w.command", "diff.w.textconv", "filter.w.clean",
    "filter.w.smudge", "filter.w.process", "merge.w.driver", "credential.helper", "gpg.program", "sequence.editor",
    "uploadpack.packObjectsHook", "pager.ls-files", "pager.rev-parse", "alias.ls-files", "alias.rev-parse",
    "alias.pack-objects", "trace2.eventTarget",
)  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"untracked": True}, {"branch": "b", "start": "HEAD~1"}], ids=str)
def test_no_program_that_it_names_is_run(app: Repo, witness: Path, tmp_path: Path, options: dict[str, object]) -> None:
    app.write(".gitattributes", "* filter=w diff=w merge=w\n")
    app.commit()
    app.write("file", "edited, so that git would have to look\n")
    app.write("untracked")
    hooks = app.top / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-index-change", "fsmonitor-watchman", "reference-transaction", "pre-auto-gc", "post-checkout"):
        (hooks / name).symlink_to(witness)
    config = app.top / ".git" / "config"
    with config.open("a") as file:
        for key in PROGRAMS:
            section, _, rest = key.partition(".")
            name, _, last = rest.rpartition(".")
            file.write(f'[{section} "{name}"]\n' if name else f"[{section}]\n")
            file.write(f"\t{last} = {witness}\n")
        file.write(f'[core]\n\thooksPath = {hooks}\n\tuntrackedCache = true\n[filter "w"]\n\trequired = true\n')
    before = {each: each.stat().st_mtime_ns for each in (app.top / ".git").rglob("*")}
    assert b"edited" in read_all(app, tmp_path, **options) or "branch" in options
    assert {each: each.stat().st_mtime_ns for each in (app.top / ".git").rglob("*")} == before


def test_a_working_tree_elsewhere_is_not_taken(app: Repo, tmp_path: Path) -> None:
    """Else the names in an index that somebody made would pick files of the user's."""
    private = tmp_path / "private"
    private.mkdir()
    (private / "file").write_text("secret")
    app.git("config", "core.worktree", str(private))
    with pytest.raises(errors.NoRepository) as raised:
        workspace.again(str(app.top), None)
    assert raised.value.exit_status == 2


@pytest.mark.parametrize(
    "name", [b"../secret", b"/etc/passwd", b"a/../../secret", b".git/config", b"sub/.GIT/config", b"a//b", b"./a"]
)
def test_a_name_in_the_index_that_leads_out_is_refused(app: Repo, tmp_path: Path, name: bytes) -> None:
    (tmp_path / "secret").write_text("secret")
    (app.top / "a").mkdir()
    oid = app.git("rev-parse", "HEAD:file").strip()
    entry = Entry(0o100644, 6, 1)
    (app.top / ".git" / "index").write_bytes(index.build({name: Blob(0o100644, oid)}, {name: entry}, frozenset()))
    with pytest.raises(errors.NoRepository):
        read_all(app, tmp_path)


def test_a_name_in_a_commit_that_leads_out_is_refused(app: Repo, tmp_path: Path) -> None:
    blob = bytes.fromhex(app.git("rev-parse", "HEAD:file").strip())
    for name in (b"..", b".git"):
        raw = tmp_path / "tree"
        raw.write_bytes(b"40000 " + name + b"\0" + bytes.fromhex(app.git("rev-parse", "HEAD^{tree}").strip()))
        raw.write_bytes(raw.read_bytes() + b"100644 z\0" + blob)
        tree = app.git("hash-object", "-t", "tree", "-w", "--literally", str(raw)).strip()
        commit = app.git("commit-tree", "-m", "evil", tree).strip()
        with pytest.raises(errors.NoRepository):
            read_all(app, tmp_path, branch="b", start=commit)


def test_fifos_and_devices_in_place_of_files_hold_nobody_up(app: Repo, tmp_path: Path) -> None:
    (app.top / "file").unlink()
    os.mkfifo(app.top / "file")
    data = read_all(app, tmp_path)
    assert b"app/other" in data and b"app/file" not in data


def test_a_file_that_becomes_a_fifo_while_it_is_read_is_told(app: Repo, tmp_path: Path) -> None:
    taken = snapshot.take(str(app.top))
    (app.top / "file").unlink()
    os.mkfifo(app.top / "file")
    with pytest.raises(errors.RepositoryChanged):
        snapshot.content(taken, b"file")


def test_a_file_that_becomes_a_link_is_not_followed(app: Repo, tmp_path: Path) -> None:
    taken = snapshot.take(str(app.top))
    (tmp_path / "secret").write_text("secret")
    (app.top / "file").unlink()
    (app.top / "file").symlink_to(tmp_path / "secret")
    with pytest.raises(errors.RepositoryChanged):
        snapshot.content(taken, b"file")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://ada:secret@example.org/app.git", "https://example.org/app.git"),
        ("https://token@example.org/app.git?private_token=secret#secret", "https://example.org/app.git"),
        ("ssh://git:secret@example.org:22/app.git", "ssh://git@example.org:22/app.git"),
        ("git@example.org:app.git", "git@example.org:app.git"),
        ("/srv/app.git", "/srv/app.git"),
        ("ext::sh -c witness", ""),
        ("https://example.org/\n[core]\n\tpager = evil", ""),
        ("evil::https://ada:secret@example.org", ""),
        ("ftp://ada:secret@example.org/", ""),
        ("https://ada:sec@ret@example.org/app.git", "https://example.org/app.git"),
    ],
)
def test_no_secret_travels_in_the_origins_url(app: Repo, tmp_path: Path, url: str, told: str) -> None:
    app.git("config", "remote.origin.url", url)
    data = read_all(app, tmp_path)
    assert b"secret" not in data and b"private_token" not in data and b"sec@ret" not in data
    assert (f'url = "{told}"'.encode() in data) == bool(told)


def test_nothing_of_a_name_becomes_a_setting(app: Repo, tmp_path: Path) -> None:
    app.git("config", "user.name", 'evil"\n[core]\n\tpager = evil\n\\')
    app.git("config", "user.email", "tab\there;#x")
    (tmp_path / "guest").mkdir()
    guest = Repo(tmp_path / "guest", "--bare")
    taken = snapshot.take(str(app.top))
    from banger.workspace import state

    (guest.top / "config").write_bytes(state.configuration(taken.repository))
    keys = {each.partition("=")[0] for each in guest.git("config", "--list", "--local").splitlines()}
    assert "core.pager" not in keys and guest.git("config", "user.email").strip() == "tabhere;#x"


def test_work_that_was_killed_is_swept_and_work_under_way_is_not(app: Repo, tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    (room / "dead").mkdir()
    (room / "dead" / "pack").write_text("left")
    (room / "dead.lock").touch()
    taken = snapshot.take(str(app.top))
    assert taken.commit is not None
    window = history.window(taken.repository, taken.commit)
    with history.packed(taken.repository, str(room), taken.commit, window) as pack:
        assert list(room.iterdir()) == []  # without a name by now
        assert pack.objects.read(4) == b"PACK"


def test_a_damaged_index_of_the_guests_is_no_index(tmp_path: Path) -> None:
    whole = index.build({b"a": Blob(0o100644, "0" * 40), b"b": Blob(0o100644, "1" * 40)}, {}, frozenset())
    assert index.load(whole) == {b"a": Blob(0o100644, "0" * 40), b"b": Blob(0o100644, "1" * 40)}
    for at in range(0, len(whole) - 20):
        index.load(whole[:at])  # whatever it says, it says something
    assert index.load(struct.pack(">4sII", b"DIRC", 2, 0xFFFFFFFF) + bytes(100)) is None
    assert index.load(b"") is None
    assert stat.S_ISREG(0o100644)
