"""A guest whose agent is hostile, as a user meets it: through the command line, the daemon and the real port's socket.

The fake driver gives the port to `hostile_agent`; all that is between it and the terminal is what runs in earnest.
"""

import os
import shlex
import signal
import sys
import time
from pathlib import Path

import pytest

from banger.guest.assets import agent_path
from banger.kernels.service import DISTRIBUTION
from banger.text import printable
from banger.vmm.drivers import VARIABLE
from banger.vmm.fake.driver import AGENT_VARIABLE
from tests import guest_images
from tests.home import TREE, Ended, Home
from tests.installation import fake_kernel
from tests.integration.worst.conftest import daemon_pid, memory, show, started
from tests.security.hostile_agent import ARCHIVES, ESCAPES

SESSION = printable(ESCAPES)
AGENT = Path(__file__).with_name("hostile_agent.py")
MEMORY_BOUND = 160 << 20
"""Of the daemon, which takes a third of that by itself."""


def machine(home: Home, scene: str) -> Home:
    """A machine named ``evil`` with that agent."""
    home.env |= {
        VARIABLE: "fake",
        AGENT_VARIABLE: shlex.join(["/usr/bin/env", f"PYTHONPATH={TREE / 'src'}", sys.executable, str(AGENT), scene]),
    }
    fake_kernel(Path(home.paths.kernel(DISTRIBUTION)), agent_path())
    layout = guest_images.write_layout(home.directory / "layout", [guest_images.Tar().directory("etc").bytes()])
    home.banger("vm", "create", "--name", "evil", "--image", layout, check=True)
    return home


def assert_plain(ended: Ended) -> None:
    """Nothing on either stream that a terminal would take for more than text."""
    for stream in (ended.stdout, ended.stderr):
        assert all(line.isprintable() for line in stream.splitlines()), ascii(stream)


def delete(home: Home) -> None:
    """Whatever it did, it can be ended."""
    home.banger("vm", "delete", "evil", check=True)
    assert home.banger("ps", "-q", check=True).stdout == ""


def test_escapes_in_all_that_it_says_of_itself(home: Home) -> None:
    machine(home, "speech")
    for words in (
        ("vm", "health", "evil"),
        ("vm", "health", "evil", "--json"),
        ("exec", "evil", "--", "true"),
        ("exec", "-d", "evil", "--", "true"),
        ("exec", "-d", "--json", "evil", "--", "true"),
        ("vm", "show", "evil"),
        ("vm", "ports", "evil"),
        ("vm", "ports", "evil", "--json"),
        ("vm", "session", "list", "evil"),
        ("vm", "session", "list", "-q", "evil"),
        ("vm", "session", "show", "evil", SESSION),
        ("vm", "session", "show", "evil", SESSION, "--json"),
        ("vm", "session", "logs", "evil", SESSION),
    ):
        ended = home.banger(*words)
        assert "owned" in ended.stdout + ended.stderr or words[1] == "show"
        assert_plain(ended)
    assert home.banger("exec", "evil", "--", "true").status == 125
    delete(home)


@pytest.mark.parametrize("scene", sorted(ARCHIVES.keys() - {"setuid"}))
def test_cp_out_writes_nothing_outside(home: Home, scene: str) -> None:
    machine(home, scene)
    target = home.directory / "outer" / "inner"
    target.mkdir(parents=True)
    ended = home.banger("cp", "evil:/tree", str(target))
    assert ended.status == 1
    assert "refusing what the guest sent" in ended.stderr
    assert_plain(ended)
    assert [path.name for path in home.directory.rglob("owned")] == []
    assert os.listdir(home.directory / "outer") == ["inner"]
    assert os.listdir(target) in ([], ["tree"])
    assert not any(path.is_file() or path.is_char_device() for path in target.rglob("*"))
    delete(home)


def test_cp_out_drops_setuid(home: Home) -> None:
    machine(home, "setuid")
    home.banger("cp", "evil:/tree", str(home.directory / "copy"), check=True)
    assert (home.directory / "copy" / "su").stat().st_mode & 0o7777 == 0o755
    delete(home)


@pytest.mark.parametrize(
    ("scene", "status", "said"),
    [
        ("flood", 0, "(7)"),
        ("impossible", 125, "the guest's agent broke the protocol: a socket that cannot be"),
        ("crowd", 125, "the guest's agent broke the protocol: more"),
    ],
)
def test_sockets_that_cannot_be(home: Home, scene: str, status: int, said: str) -> None:
    machine(home, scene)
    for _ in range(2):
        ended = home.banger("vm", "ports", "evil")
        assert ended.status == status
        assert said in ended.stdout + ended.stderr
    assert memory(daemon_pid(home)) < MEMORY_BOUND
    delete(home)


@pytest.mark.parametrize("scene", ["flood", "garbage"])
def test_a_broken_protocol_costs_one_command_and_no_memory(home: Home, scene: str) -> None:
    machine(home, scene)
    for _ in range(2):
        ended = home.banger("exec", "evil", "--", "true")
        assert ended.status == 125
        assert "the guest's agent broke the protocol" in ended.stderr
    assert memory(daemon_pid(home)) < MEMORY_BOUND
    delete(home)


def test_more_sessions_than_there_are_places(home: Home) -> None:
    machine(home, "crowded")
    ended = home.banger("vm", "session", "list", "evil")
    assert (ended.status, "more sessions than there are places" in ended.stderr) == (125, True)
    delete(home)


def test_output_that_nobody_asked_for_ends_a_wait(home: Home) -> None:
    machine(home, "flood")
    ended = home.banger("vm", "session", "wait", "evil", SESSION)
    assert (ended.status, "the guest's agent broke the protocol" in ended.stderr) == (125, True)
    assert memory(daemon_pid(home)) < MEMORY_BOUND
    delete(home)


def test_a_session_that_says_nothing_of_what_it_took(home: Home) -> None:
    machine(home, "mute")
    ended = home.banger("vm", "session", "send", "--timeout", "0.3", "evil", SESSION, "text")
    assert (ended.status, "took 0 bytes" in ended.stderr) == (124, True), ended.stderr
    delete(home)


def test_a_command_that_ignores_everything_is_given_up_by_its_client(home: Home) -> None:
    machine(home, "mute")
    with started(home, "exec", "evil", "--", "true") as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"up\n"
        while client.poll() is None:
            client.send_signal(signal.SIGINT)
            time.sleep(0.05)
        assert client.returncode == 130
    delete(home)


def test_its_machine_is_killed_under_a_command(home: Home) -> None:
    machine(home, "mute")
    with started(home, "exec", "evil", "--", "true") as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"up\n"
        home.banger("vm", "kill", "evil", check=True)
        assert client.wait(60) == 125
    assert show(home, "evil")["state"] == "stopped"
    delete(home)
