"""Commands in a machine that has a workspace: what is said when the host's repository is somewhere else by now."""

import subprocess
import sys
from pathlib import Path

import pytest

from banger.api.workspace import Import
from banger.sdk.client import Client
from tests.integration.daemon.conftest import Daemon
from tests.repositories import commit, head, repository


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return repository(tmp_path / "source", {"a": b"a\n"})


@pytest.fixture
def machine(daemon: Daemon, source: Path) -> Daemon:
    daemon.make_at_rest("web")
    with Client(daemon.paths.socket) as client:
        client.vm_workspace("web", Import(path="/root/app", source=str(source), commit=head(source)), b"")
    return daemon


def banger(daemon: Daemon, *words: str) -> tuple[int, str, str]:
    program = [sys.executable, "-c", f"from banger.cli.main import main; raise SystemExit(main({list(words)!r}))"]
    done = subprocess.run(
        program, env={**daemon.env, "HOME": "/"}, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_nothing_is_said_while_both_are_alike(machine: Daemon) -> None:
    assert banger(machine, "exec", "web", "exit", "3") == (3, "", "")


def test_a_host_that_moved_on_is_told_in_one_line(machine: Daemon, source: Path) -> None:
    before, now = head(source), commit(source)
    status, _, said = banger(machine, "exec", "web", "exit", "3")
    assert status == 3
    assert len(said.splitlines()) == 1
    assert before[:12] in said and now[:12] in said and str(source) in said


def test_nothing_is_said_where_the_command_runs_elsewhere(machine: Daemon, source: Path) -> None:
    commit(source)
    assert banger(machine, "exec", "-w", "/", "web", "exit", "0") == (0, "", "")


def test_a_session_is_told_of_it_as_well(machine: Daemon, source: Path) -> None:
    assert banger(machine, "exec", "-d", "web", "exit", "0") == (0, "0\n", "")
    before, now = head(source), commit(source)
    status, started, said = banger(machine, "exec", "-d", "web", "exit", "0")
    assert (status, started, len(said.splitlines())) == (0, "0\n", 1)
    assert before[:12] in said and now[:12] in said
    assert banger(machine, "exec", "-d", "-w", "/", "web", "exit", "0") == (0, "0\n", "")


def test_nothing_is_said_of_a_repository_that_is_gone(machine: Daemon, source: Path) -> None:
    source.rename(source.with_name("elsewhere"))
    assert banger(machine, "exec", "web", "exit", "0") == (0, "", "")


def test_an_import_again_needs_one_before(daemon: Daemon) -> None:
    daemon.make_at_rest("plain")
    status, _, said = banger(daemon, "exec", "--auto-prepare", "plain", "exit", "0")
    assert status == 125
    assert "nothing was imported into 'plain' yet" in said and "prepare plain PATH" in said


def test_the_stream_tells_where_a_command_runs(machine: Daemon) -> None:
    with Client(machine.paths.socket) as client:
        with client.vm_exec("web", {"argv": ["exit", "0"]}) as command:
            assert command.workspace is not None and command.workspace["path"] == "/root/app"
        with client.vm_exec("web", {"argv": ["exit", "0"], "cwd": "/"}) as command:
            assert command.workspace is None
