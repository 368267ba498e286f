"""Completion in the shells themselves, on a terminal: a line is typed, Tab is pressed, and the shell says what it has.

Each shell has a key that writes its line to a file, so that nothing has to be read off a screen.
"""

import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger import Client
from tests import fakes
from tests.home import Home, make_home
from tests.integration.cli.terminal import PATIENCE, OnTerminal

TAB, WRITE, CLEAR = "\t", "\x14", "\x15"
LINE = "line"

SETUP = {
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        'source <(banger completion bash); bind -x \'"\\C-t": printf %s "$READLINE_LINE" >{line}\'; '
        "bind 'set bell-style none'; PS1='re''ady> '",
    ),
    "zsh": (
        ["zsh", "-f", "-i"],
        "fpath=({functions} $fpath); autoload -U compinit; compinit -u -D; setopt no_beep; "
        "write() {{ print -rn -- \"$BUFFER\" >{line} }}; zle -N write; bindkey '^T' write; "
        "bindkey '^U' kill-whole-line; PROMPT='re''ady> '",
    ),
    "fish": (
        ["fish", "--no-config"],
        "banger completion fish | source; bind \\ct 'commandline | string collect >{line}'; "
        "bind \\cu 'commandline \"\"'; function fish_prompt; echo 're''ady> '; end",
    ),
}
"""Shell -> how it is started, and what it is told at first. zsh finds the function in its path, as it is installed."""


class Shell:
    """A shell that waits for a line."""

    def __init__(self, home: Home, name: str) -> None:
        program, setup = SETUP[name]
        functions = home.directory / "functions"
        functions.mkdir(exist_ok=True)
        (functions / "_banger").write_text(home.banger("completion", "zsh", check=True).stdout)
        self._line = home.directory / LINE
        self._terminal = OnTerminal(home, program=program)
        told = setup.format(line=shlex.quote(str(self._line)), functions=shlex.quote(str(functions)))
        self._terminal.type(f"{told}\n")
        self._terminal.expect("ready> ")

    def complete(self, typed: str) -> str:
        """What the line is after Tab."""
        self._terminal.type(f"{typed}{TAB}{WRITE}")
        deadline = time.monotonic() + PATIENCE
        while not self._line.exists() or not self._line.read_text():
            assert time.monotonic() < deadline, self._terminal.seen.decode(errors="replace")
            self._terminal.drain()
        found = self._line.read_text().rstrip("\n")
        self._line.unlink()
        self._terminal.type(CLEAR)
        return found

    def end(self) -> None:
        self._terminal.type(f"{CLEAR}exit\n")
        self._terminal.end()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """An installation with a machine, `banger` in PATH, and a few files."""
    directory = tmp_path_factory.mktemp("stage")
    with make_home(directory) as home:
        place_command(home)
        fakes.prepare(home, quick=True)
        with Client(home.paths.socket) as client:
            client.wait(client.vm_create(fakes.request("web")))
        (directory / "rootfs.tar").touch()
        (directory / "notes.txt").touch()
        yield home
        home.banger("rm", "web", check=True)


def place_command(home: Home) -> None:
    """`banger` where the shell finds it."""
    command = home.directory / "bin" / "banger"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m banger.cli "$@"\n')
    command.chmod(0o755)
    home.env |= {"PATH": f"{command.parent}:{home.env['PATH']}", "HOME": str(home.directory)}


CASES = {
    "banger doc": "banger doctor ",
    "banger vm resta": "banger vm restart ",
    "banger help vm sna": "banger help vm sna",
    "banger run --mem": "banger run --memory ",
    "banger exec w": "banger exec web ",
    "banger vm show --json w": "banger vm show --json web ",
    "banger run --image t": "banger run --image tiny ",
    "banger run --image=t": "banger run --image=tiny ",
    "banger run --kernel deb": "banger run --kernel debian-cloud ",
    "banger image pull debian-bookworm-d": "banger image pull debian-bookworm-docker ",
    "banger completion z": "banger completion zsh ",
    "banger image import roo": "banger image import rootfs.tar ",
    "banger image import --dir=fun": "banger image import --dir=functions/",
    "banger cp web": "banger cp web:",
    "banger cp note": "banger cp notes.txt ",
    "banger cp web:/etc/hostname note": "banger cp web:/etc/hostname notes.txt ",
    "banger run --name w": "banger run --name w",
    "banger exec web -- l": "banger exec web -- l",
}
"""A line, and what Tab makes of it."""


@pytest.mark.parametrize("name", SETUP)
def test_a_shell_completes(name: str, stage: Home) -> None:
    shell = Shell(stage, name)
    found = {typed: shell.complete(typed) for typed in CASES}
    shell.end()
    assert {typed: line.rstrip("\n") for typed, line in found.items()} == CASES


@pytest.mark.parametrize("name", SETUP)
def test_nothing_is_suggested_and_no_daemon_started_where_none_runs(name: str, home: Home) -> None:
    place_command(home)
    (home.directory / "web").touch()
    shell = Shell(home, name)
    assert shell.complete("banger rm w") == "banger rm w", "a file is no machine"
    assert shell.complete("banger run --image ") == "banger run --image "
    assert shell.complete("banger daemon stat") == "banger daemon status "
    shell.end()
    assert home.banger("daemon", "status").status == 3


def test_zsh_takes_the_script_by_source_too(stage: Home) -> None:
    script = stage.directory / "completion.zsh"
    script.write_text(stage.banger("completion", "zsh", check=True).stdout)
    ask = f"autoload -U compinit; compinit -u -D; source {script}; print ${{_comps[banger]}}"
    done = subprocess.run(["zsh", "-f", "-c", ask], env=stage.env, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("_banger\n", "")


def test_the_scripts_are_clean(home: Home, tmp_path: Path) -> None:
    """Each shell reads its own without a word."""
    for name, check in {"bash": ["bash", "-n"], "zsh": ["zsh", "-n"], "fish": ["fish", "--no-execute"]}.items():
        script = tmp_path / name
        script.write_text(home.banger("completion", name, check=True).stdout)
        done = subprocess.run([*check, str(script)], env=home.env, capture_output=True, text=True, check=True)
        assert done.stdout + done.stderr == ""
