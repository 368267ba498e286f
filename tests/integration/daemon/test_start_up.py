"""What a verb loads before it answers: the budget that keeps short verbs quick, on a machine of any speed.

The interpreter runs without `site`, as the installed command does: what the environment has besides is not found at
all, and no file of it loads anything.
"""

import subprocess
import sys

import pytest

from tests.integration.daemon.conftest import Daemon

SMALL = {
    "_collections_abc", "_stat", "genericpath", "os", "os.path", "posixpath", "stat",
    "_json", "_signal", "_socket", "_thread", "errno", "gc", "select",
}  # fmt: skip
"""Modules of the standard library that cost next to nothing: what `os` is made of, and what is written in C."""

HEAVY = {
    "argparse", "asyncio", "dataclasses", "email", "hashlib", "http.client", "importlib.metadata", "inspect", "json",
    "logging", "msgspec", "socket", "ssl", "subprocess", "tempfile", "typing_extensions", "urllib",
}  # fmt: skip

MOST = 29
"""Modules of banger's own that one of them may load."""


def loaded(daemon: Daemon, *words: str) -> set[str]:
    """The modules that a verb adds to those of the bare interpreter."""
    verb = f"import sys; from banger.cli.main import main; assert main({list(words)!r}) == 0"
    return modules(daemon, verb) - modules(daemon, "import sys")


def modules(daemon: Daemon, code: str) -> set[str]:
    program = [sys.executable, "-S", "-c", f"{code}\nprint('|'.join(sys.modules), file=sys.stderr)"]
    env = {**daemon.env, "HOME": "/"}
    done = subprocess.run(program, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split("|"))


@pytest.fixture
def machine(daemon: Daemon) -> Daemon:
    daemon.make_at_rest("web")
    return daemon


@pytest.mark.parametrize(
    "words",
    [
        ("vm", "list"),
        ("ps", "--json"),
        ("exec", "web", "exit", "0"),
        ("exec", "-i", "-e", "A=1", "--json", "web", "cat"),
        ("run", "--rm", "--memory", "128M", "--", "exit", "0"),
        ("run", "--json", "--", "exit", "0"),
        ("run", "--detach", "--name", "other"),
        ("vm", "create", "--name", "other"),
        ("vm", "create", "--json", "--ttl", "5m"),
        ("vm", "start", "web"),
        ("vm", "stop", "web"),
        ("vm", "restart", "web", "--timeout", "5s", "--json"),
        ("vm", "kill", "web", "id-web"),
        ("vm", "set", "web", "--vcpu", "2"),
        ("rm", "web"),
        ("vm", "show", "web"),
        ("vm", "show", "web", "--json"),
        ("vm", "stats"),
        ("vm", "keep", "web"),
        ("vm", "ports"),
        ("vm", "prune", "--force"),
        ("image", "list"),
        ("daemon", "status"),
        ("internal", "ssh-proxy", "web.vm"),
    ],
    ids=" ".join,
)
def test_a_verb_of_machines_loads_next_to_nothing(machine: Daemon, words: tuple[str, ...]) -> None:
    found = loaded(machine, *words)
    ours = {name for name in found if name.partition(".")[0] == "banger"}
    assert found - ours - SMALL == set()
    assert "banger.errors" not in ours  # sixty classes, for verbs that fail
    assert len(ours) <= MOST, sorted(ours)


@pytest.mark.parametrize(
    "words", [("cp", "-", "web:/tmp"), ("internal", "complete", "--", "rm", "")], ids=("cp", "complete")
)
def test_others_load_nothing_heavy(machine: Daemon, words: tuple[str, ...]) -> None:
    assert loaded(machine, *words) & HEAVY == set()
