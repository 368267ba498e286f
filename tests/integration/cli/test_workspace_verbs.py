"""A repository in a machine in one command, in real guests that have no git."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.home import Home
from tests.integration.cli.terminal import OnTerminal
from tests.integration.workspace.conftest import Repo

SMALL = ("--image", "busybox", "--memory", "256M")


@pytest.fixture
def app(tmp_path: Path) -> Repo:
    repo = Repo(tmp_path / "app")
    repo.commit(**{"Makefile": "test:\n\techo passed\n", "deep/file": "deep\n", "with space/ünï": "x"})
    repo.write("deep/file", "edited\n")
    return repo


def top(repo: Repo, below: str = "") -> str:
    return str(repo.top / below) if below else str(repo.top)


@pytest.mark.qemu
def test_a_command_runs_in_the_repository_and_its_status_is_the_end(room: Home, app: Repo) -> None:
    (app.top / "stays").write_text("x")
    done = room.banger("run", top(app), "--rm", *SMALL, "--", "sh", "-c", "pwd; cat deep/file .git/HEAD; ls; exit 42")
    assert done.status == 42, done.stderr
    assert done.stdout == "/root/app\nedited\nref: refs/heads/main\nMakefile\ndeep\nwith space\n"
    assert "1 untracked file stays behind" in done.stderr


@pytest.mark.qemu
def test_below_the_top_and_with_untracked_files_and_a_branch(room: Home, app: Repo) -> None:
    (app.top / "deep" / "new").write_text("x")
    done = room.banger(
        "run", top(app, "deep"), "--rm", *SMALL, "--include-untracked", "--branch", "try", "--json",
        "--", "sh", "-c", "pwd; ls; cat /root/app/.git/HEAD",
    )  # fmt: skip
    document = done.json()
    assert isinstance(document, dict)
    assert document["stdout"] == "/root/app/deep\nfile\nnew\nref: refs/heads/try\n"
    assert (
        {"read", "import"} <= {each["name"] for each in document["phases"]}
        if isinstance(document["phases"], list)
        else True
    )


@pytest.mark.qemu
def test_a_shell_reads_its_commands_there(room: Home, app: Repo) -> None:
    done = room.banger("run", top(app), "--rm", *SMALL, stdin=b"cat deep/file; pwd; exit 7\n")
    assert (done.status, done.stdout) == (7, "edited\n/root/app\n")


@pytest.mark.qemu
def test_a_detached_machine_has_it_and_takes_what_changes(room: Home, app: Repo) -> None:
    name = room.banger("run", top(app), "-d", *SMALL, check=True).stdout.strip()
    try:
        shown = room.banger("vm", "show", name, "--json", check=True).json()
        assert isinstance(shown, dict)
        assert shown["workspace"]["path"] == "/root/app" and shown["workspace"]["source"] == top(app)
        assert "/root/app" in room.banger("ps", check=True).stdout
        assert f"/root/app from {top(app)} (main at {app.head[:12]})" in room.banger("vm", "show", name).stdout
        terminal = OnTerminal(room, "vm", "workspace", "prepare", name)
        terminal.expect(f"{name}: importing the files")
        assert terminal.end() == 0
        app.write("deep/file", "edited again\n")
        (app.top / "Makefile").unlink()
        ended = room.banger("vm", "workspace", "prepare", name, "--json", check=True)
        again = ended.json()
        assert isinstance(again, dict) and again["complete"] and again["id"] != shown["workspace"]["id"]
        assert not ended.stderr
        seen = room.banger("exec", name, "--", "sh", "-c", "cat /root/app/deep/file; ls /root/app", check=True).stdout
        assert seen == "edited again\ndeep\nwith space\n"
        room.banger("exec", name, "--", "sh", "-c", "echo theirs > /root/app/deep/file", check=True)
        app.write("deep/file", "ours\n")
        refused = room.banger("vm", "workspace", "prepare", name)
        assert refused.status == 4 and "deep/file" in refused.stderr and "--overwrite" in refused.stderr
        assert room.banger("exec", "--auto-prepare", name, "--", "true").status == 125
        room.banger("exec", name, "--", "date", "-s", "2037-01-01 00:00:00", check=True)
        room.banger("vm", "workspace", "prepare", name, "--overwrite", check=True)
        room.banger("vm", "restart", name, check=True)
        assert room.banger("exec", name, "--", "cat", "/root/app/deep/file", check=True).stdout == "ours\n"
        assert room.banger("vm", "workspace", "prepare", name, check=True).stdout == "/root/app\n"
        for content in ("an edit\n", "a commit\n"):
            app.write("deep/file", content)
            if content == "a commit\n":
                app.commit()
            assert room.banger("exec", "--auto-prepare", name, "--", "cat", "deep/file", check=True).stdout == content
        assert room.banger("exec", name, "--", "cat", ".git/refs/heads/main", check=True).stdout.strip() == app.head
    finally:
        room.banger("rm", name, check=True)


@pytest.mark.qemu
def test_a_disk_that_is_full_is_told_and_mended(room: Home, app: Repo) -> None:
    app.write("large", os.urandom(90 << 20))
    app.git("add", "large")
    name = room.banger("vm", "create", *SMALL, "--work-disk", "64M", check=True).stdout.strip()
    try:
        failed = room.banger("vm", "workspace", "prepare", name, top(app))
        assert failed.status != 0 and "full" in failed.stderr and "--work-disk" in failed.stderr
        assert "incomplete" in room.banger("ps", check=True).stdout
        (app.top / "large").unlink()
        room.banger("vm", "workspace", "prepare", name, check=True)
        assert "incomplete" not in room.banger("ps", check=True).stdout
        assert room.banger("exec", name, "--", "ls", "/root/app", check=True).stdout == "Makefile\ndeep\nwith space\n"
    finally:
        room.banger("rm", name, check=True)


@pytest.mark.qemu
def test_a_client_that_is_killed_in_the_middle_leaves_nothing_here_and_the_next_one_mends_it(
    room: Home, app: Repo
) -> None:
    for number in range(40):
        app.write(f"many/{number}", os.urandom(1 << 20))
    app.commit()
    name = room.banger("vm", "create", *SMALL, check=True).stdout.strip()
    try:
        client = room.start("vm", "workspace", "prepare", name, top(app))
        try:
            while "incomplete" not in room.banger("ps", check=True).stdout:
                assert client.poll() is None
        finally:
            client.kill()
            client.communicate()
        assert not [each for each in Path(room.paths.cache, "workspaces").rglob("*") if each.is_file()]
        stop = time.monotonic() + 60
        while (again := room.banger("vm", "workspace", "prepare", name, "--json")).status == 4:
            assert time.monotonic() < stop  # the daemon has yet to notice
        assert again.status == 0, again.stderr
        count = room.banger("exec", name, "--", "sh", "-c", "cat /root/app/many/* | wc -c", check=True).stdout
        assert int(count) == 40 << 20
    finally:
        room.banger("rm", name, check=True)


@pytest.mark.qemu
def test_what_is_done_in_a_guest_without_git_comes_back_as_a_patch(room: Home, app: Repo, tmp_path: Path) -> None:
    app.write("binary", bytes(range(256)) * 20)
    app.commit(
        **{"-dash": "x\n", "new\nline": "x\n", "moved from": "a\nb\nc\nd\n", "goes": "x\n", "run": "#!/bin/sh\n"}
    )
    app.commit(**{".gitignore": "*.log\n"})
    app.write("deep/file", "not committed here\n")
    done = """
        cd /root/app && ! command -v git && date -s "1999-01-01 00:00:00" || exit 1
        echo two >>-dash; echo y >"$(printf 'new\\nline')"; mv "moved from" "moved to"; rm goes; chmod +x run
        head -c 3000 /dev/urandom >binary; echo new >with\\ space/new; ln -s ../run deep/link; echo x >stays.log
    """
    name = room.banger("run", top(app), "-d", *SMALL, check=True).stdout.strip()
    patch = tmp_path / "changes.patch"
    try:
        room.banger("exec", name, "--", "sh", "-c", done, check=True)
        stat = room.banger("vm", "workspace", "diff", name, "--stat", check=True)
        assert "R moved from => moved to | 0" in stat.stdout and "M binary" in stat.stdout
        said = room.banger("vm", "workspace", "export", name, "--output", str(patch), check=True)
        assert "8 files changed since " in said.stderr
        app.git("apply", str(patch))
        app.git("add", "--all")
        (app.top / "stays.log").write_text("x\n")
        (tmp_path / "there").mkdir()
        room.banger("cp", f"{name}:/root/app/.", str(tmp_path / "there"), check=True)
        shutil.rmtree(tmp_path / "there" / ".git")
        assert _tree(tmp_path / "there") == {**_tree(app.top), "stays.log": (False, b"x\n")}
        assert room.banger("vm", "workspace", "prepare", name).stdout == "/root/app\n", "alike is no conflict"
        assert "nothing changed since" in room.banger("vm", "workspace", "diff", name, check=True).stderr
    finally:
        room.banger("rm", name, check=True)


def _tree(top: Path) -> dict[str, tuple[bool, bytes]]:
    """Whether each file or link may be executed, and its content or target; ``.git`` apart."""
    found = {}
    for path in top.rglob("*"):
        name = str(path.relative_to(top))
        if path.is_symlink():
            found[name] = (False, os.fsencode(path.readlink()))
        elif path.is_file() and not name.startswith(".git/"):
            found[name] = (bool(path.stat().st_mode & 0o100), path.read_bytes())
    return found


@pytest.mark.qemu
def test_an_export_that_is_killed_leaves_no_file_and_the_next_one_no_copy(
    room: Home, app: Repo, tmp_path: Path
) -> None:
    output = tmp_path / "out" / "changes.patch"
    output.parent.mkdir()
    copies = Path(room.paths.cache, "workspaces")
    name = room.banger("run", top(app), "-d", *SMALL, check=True).stdout.strip()
    try:
        room.banger("exec", name, "--", "sh", "-c", "head -c 60000000 /dev/urandom >/root/app/large", check=True)
        client = room.start("vm", "workspace", "export", name, "--output", str(output))
        try:
            while not list(copies.glob("export-*")):
                assert client.poll() is None
        finally:
            client.kill()
            client.communicate()
        assert os.listdir(output.parent) == []
        room.banger("vm", "workspace", "export", name, "--output", str(output), check=True)
        assert os.listdir(output.parent) == [output.name] and output.stat().st_size > 60_000_000
        assert not list(copies.glob("export-*"))
    finally:
        room.banger("rm", name, check=True)


@pytest.mark.qemu
def test_ctrl_c_in_the_middle_says_that_the_machine_stays(room: Home, app: Repo) -> None:
    app.write("large", os.urandom(100 << 20))
    app.git("add", "large")
    client = room.start("run", top(app), "-d", "--name", "cut", *SMALL)
    try:
        while "incomplete" not in room.banger("ps", check=True).stdout:
            assert client.poll() is None
        client.send_signal(signal.SIGINT)
        _, said = client.communicate(timeout=60)
        assert client.returncode == 130
        assert said.decode().endswith("cut goes on running without all of it; 'banger rm cut' deletes it\n")
    finally:
        client.kill()
        client.communicate()
        room.banger("rm", "cut", check=True)


@pytest.mark.qemu
def test_stop_and_delete_do_not_wait_for_an_import(room: Home, app: Repo) -> None:
    app.write("large", os.urandom(200 << 20))
    app.git("add", "large")
    name = room.banger("vm", "create", *SMALL, check=True).stdout.strip()
    client = room.start("vm", "workspace", "prepare", name, top(app))
    try:
        while "incomplete" not in room.banger("ps", check=True).stdout:
            assert client.poll() is None
        second = room.banger("vm", "workspace", "prepare", name, top(app))
        assert second.status == 4 and "another command imports" in second.stderr
        room.banger("vm", "kill", name, check=True)
        _, said = client.communicate(timeout=120)
        assert client.returncode not in (0, -signal.SIGKILL), said
        assert "incomplete" in room.banger("ps", check=True).stdout
    finally:
        client.kill()
        client.communicate()
        room.banger("rm", name, check=True)


def test_a_dry_run_lists_what_would_come_and_needs_no_daemon(room: Home, app: Repo, tmp_path: Path) -> None:
    (app.top / "untracked").write_text("x")
    (app.top / ".gitignore").write_text("ignored\n")
    (app.top / "ignored").write_text("x")
    runtime = tmp_path / "r"
    before = dict(room.env)
    room.env["BANGER_RUNTIME_DIR"] = str(runtime)
    try:
        done = room.banger("run", top(app), "--dry-run", check=True)
        assert done.stdout.splitlines() == ["Makefile", "deep/file", "with space/ünï"]
        assert "2 untracked files stay behind" in done.stderr and "/root/app" in done.stderr
        both = room.banger("run", top(app), "--dry-run", "--include-untracked", "--json", check=True).json()
        assert isinstance(both, dict)
        assert [each["path"] for each in both["files"]] == [
            ".gitignore", "Makefile", "deep/file", "untracked", "with space/ünï",
        ]  # fmt: skip
        assert (both["branch"], both["commit"], both["path"]) == ("main", app.head, "/root/app")
        assert not runtime.exists()
    finally:
        room.env.clear()
        room.env.update(before)


def test_what_is_wrong_with_it_is_said_before_a_machine_is_made(room: Home, app: Repo, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    for words, told in [
        ((str(tmp_path / "none"),), "comes behind '--'"),
        ((str(tmp_path / "plain"),), "not inside a git repository"),
        ((top(app), "--from", "main"), "--branch"),
        ((top(app), "--branch", "b", "--from", "none"), "no commit 'none'"),
        (("--branch", "b"), "say which, as PATH"),
        (("--dry-run",), "say which, as PATH"),
        ((top(app), "-d", "--rm"), "use one of them"),
    ]:
        done = room.banger(
            "run", *SMALL, *words, "--" if "-d" not in words else "--rm", *(["true"] if "-d" not in words else [])
        )
        assert done.status == 125 and told in done.stderr, (words, done)
    empty = {**room.env, "PATH": str(tmp_path)}
    before, room.env = room.env, empty
    try:
        done = room.banger("run", top(app), "--dry-run")
        assert "git" in done.stderr and done.status != 0
    finally:
        room.env = before
    assert json.loads(room.banger("ps", "--json", check=True).stdout)["vms"] == []
    assert os.path.exists(top(app))
