"""Sessions in a real machine: they outlive every client and the daemon, and one can sit at them."""

import json
import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests import leaks
from tests.home import Home
from tests.integration.cli.terminal import OnTerminal

pytestmark = pytest.mark.qemu


@pytest.fixture
def web(room: Home) -> Iterator[str]:
    """A machine that runs; `room` sees that it is deleted."""
    yield room.banger("run", "-d", "--name", "web", "--image", "busybox", "--memory", "256M", check=True).stdout.strip()
    room.banger("rm", "web", check=True)


def killed_daemon(room: Home) -> None:
    pid = int(json.loads(room.banger("daemon", "status", "--json", check=True).stdout)["pid"])
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while leaks.process_of(pid) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_session_is_left_lost_and_found_again(room: Home, web: str) -> None:
    room.banger("vm", "session", "start", "--tty", "--name", "sh", web, "sh", check=True)
    at = OnTerminal(room, "vm", "session", "attach", web, "sh")
    at.expect("# ")
    at.type("stty size; A=kept\r")
    at.expect("33 101")
    at.expect("# ")
    at.type("sleep 1000\r")
    at.expect("sleep 1000")
    time.sleep(1)
    at.type("\x03")
    at.expect("# ")
    at.type("\x10\x11")
    assert at.end() == 0
    assert b"the session goes on" in at.seen

    at = OnTerminal(room, "vm", "session", "attach", web, "sh")
    at.expect("33 101")
    at.type("echo $A once\r")
    at.expect("kept once")
    second = room.banger("vm", "session", "attach", web, "sh")
    assert (second.status, "somebody is attached" in second.stderr) == (125, True)
    killed_daemon(room)
    assert at.end() == 125
    found = json.loads(room.banger("vm", "session", "show", web, "sh", "--json", check=True).stdout)
    assert (found["state"], found["tty"]) == ("running", True)
    leaks.allow(int(json.loads(room.banger("daemon", "status", "--json", check=True).stdout)["pid"]))

    at = OnTerminal(room, "vm", "session", "attach", web, "sh")
    at.expect("kept once")
    at.type("echo $A twice; exit 9\r")
    at.expect("kept twice")
    assert at.end() == 9, "the session's own status"
    assert room.banger("vm", "session", "wait", web, "sh").status == 9


def test_a_log_that_never_ends_costs_the_machine_no_memory(room: Home, web: str) -> None:
    def free() -> int:
        return int(room.banger("exec", web, "--", "sh", "-c", "free -k | awk '/^Mem/ {print $7}'", check=True).stdout)

    before = free()
    for number in range(8):
        name = f"flood-{number}"
        room.banger("vm", "session", "start", "--name", name, web, "sh", "-c", "yes | head -c 40000000", check=True)
    for number in range(8):
        assert room.banger("vm", "session", "wait", web, f"flood-{number}").status == 0
    told = json.loads(room.banger("vm", "session", "list", web, "--json", check=True).stdout)["sessions"]
    assert [each["stdout_bytes"] for each in told] == [40_000_000] * 8
    assert before - free() < 24 << 10, "a mebibyte for each log, and what the machine itself takes meanwhile"
