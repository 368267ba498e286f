"""Commands, copies and their clients at their worst, in one real machine."""

import contextlib
import io
import os
import shlex
import signal
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import guest_images, leaks
from tests.home import BANGER, Home
from tests.integration.worst.conftest import (
    SMALL,
    allow_daemon,
    daemon_pid,
    memory,
    show,
    started,
    until,
)

pytestmark = pytest.mark.qemu

GROWTH = 8 << 20
LIMITED = ("--", "sh", "-c")


@pytest.fixture(scope="module")
def web(room: Home) -> Iterator[Home]:
    """The installation, with a machine named ``web``."""
    layout = guest_images.busybox(room.directory / "layout")
    room.banger("image", "pull", layout, "--name", "busybox", check=True)
    room.banger("run", "-d", "--name", "web", "--image", "busybox", *SMALL, check=True)
    allow_machine(room)
    yield room
    room.banger("rm", "web", check=True)


def allow_machine(room: Home) -> int:
    """A machine's monitor outlives the test that started it; its pid."""
    pid = show(room, "web")["pid"]
    assert isinstance(pid, int)
    leaks.allow(pid)
    return pid


def running(room: Home, words: str) -> list[str]:
    """Processes of the guest whose command line holds that."""
    listed = room.banger("exec", "web", "--", "ps", "-o", "args", check=True).stdout.splitlines()
    return [line for line in listed if words in line]


def descriptors(room: Home) -> int:
    return len(os.listdir(f"/proc/{daemon_pid(room)}/fd"))


# -- commands ---------------------------------------------------------------------------------------------------------


def test_a_command_that_dies_of_a_signal(web: Home) -> None:
    ended = web.banger("exec", "web", *LIMITED, "kill -SEGV $$")
    assert ended.status == 128 + signal.SIGSEGV


def test_a_command_that_ignores_sigterm_ends_after_its_time(web: Home) -> None:
    ended = web.banger("exec", "--timeout", "1", "web", *LIMITED, "trap '' TERM HUP INT; while :; do sleep 7321; done")
    assert ended.status == 124
    assert running(web, "7321") == []


def test_a_gibibyte_of_output_takes_no_more_memory_than_its_beginning(web: Home) -> None:
    early, late, seen = 0, 0, 0
    with started(web, "exec", "web", "--", "yes", "x" * 1000) as client:
        assert client.stdout is not None
        while seen < 1 << 30:
            seen += len(os.read(client.stdout.fileno(), 1 << 20))
            if not early and seen > 10 << 20:
                early = memory(client.pid) + memory(daemon_pid(web))
        late = memory(client.pid) + memory(daemon_pid(web))
        client.stdout.close()
        assert client.wait(60) == 128 + signal.SIGPIPE
    assert late - early < GROWTH
    until(lambda: running(web, "yes") == [], "the end of the command")


def test_input_that_nobody_reads_does_not_keep_the_client(web: Home) -> None:
    ended = web.banger("exec", "-i", "web", "--", "head", "-c", "1", stdin=b"x" * (40 << 20))
    assert (ended.status, ended.stdout) == (0, "x")


@pytest.mark.parametrize("closed", ["<&-", "<&- 2>&-"])
def test_a_client_whose_descriptors_are_closed(web: Home, closed: str) -> None:
    words = shlex.join([*BANGER, "exec", "-i", "web", "--", "wc", "-c"])
    done = subprocess.run(
        ["/bin/sh", "-c", f"{words} {closed}"], env=web.env, stdout=subprocess.PIPE, timeout=60, check=True
    )
    assert done.stdout == b"0\n"


# -- clients that are killed ------------------------------------------------------------------------------------------


@pytest.fixture
def nothing_open(web: Home) -> Iterator[None]:
    """After the test the daemon has no more descriptors than before."""
    web.banger("exec", "web", "--", "true", check=True)
    before = descriptors(web)
    yield
    until(lambda: descriptors(web) <= before, "the closing of what a client left open")


@pytest.mark.usefixtures("nothing_open")
def test_the_command_of_a_killed_client_ends(web: Home) -> None:
    with started(web, "exec", "web", *LIMITED, "echo up; exec sleep 8321") as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"up\n"
        assert len(running(web, "sleep 8321")) == 1
        client.kill()
    until(lambda: running(web, "sleep 8321") == [], "the end of the command")


@pytest.mark.usefixtures("nothing_open")
def test_a_killed_client_in_the_middle_of_a_copy_in(web: Home) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("partial")
        entry.size = 8 << 20
        tar.addfile(entry, io.BytesIO(bytes(8 << 20)))
    web.banger("exec", "web", "--", "mkdir", "/in", check=True)
    with started(web, "cp", "-", "web:/in") as client:
        assert client.stdin is not None
        client.stdin.write(archive.getvalue()[: 4 << 20])
        client.stdin.flush()
        until(lambda: web.banger("exec", "web", "--", "ls", "-A", "/in").stdout != "", "the first bytes")
        client.kill()
    web.banger("exec", "web", "--", "rm", "-r", "/in", check=True)
    web.banger("cp", "/etc/passwd", "web:/root/", check=True)


@pytest.mark.usefixtures("nothing_open")
def test_a_killed_client_in_the_middle_of_a_copy_out(web: Home) -> None:
    web.banger("exec", "web", *LIMITED, "head -c 100000000 /dev/zero >/big", check=True)
    with started(web, "cp", "web:/big", "-") as client:
        assert client.stdout is not None
        assert client.stdout.read(1000)
        client.kill()
    web.banger("cp", "web:/etc/passwd", str(web.directory / "passwd"), check=True)
    web.banger("exec", "web", "--", "rm", "/big", check=True)


@pytest.mark.usefixtures("nothing_open")
def test_a_killed_client_that_followed_the_log(web: Home) -> None:
    with started(web, "vm", "logs", "-f", "web") as client:
        web.banger("exec", "web", *LIMITED, "echo here >/dev/console", check=True)
        assert client.stdout is not None
        assert b"here" in client.stdout.readline()
        client.kill()


def test_a_pull_whose_client_is_killed_is_finished(web: Home) -> None:
    layout = guest_images.debian(web.directory / "debian")
    with started(web, "image", "pull", layout, "--name", "late") as client:
        until(lambda: os.listdir(web.paths.staging) != [], "the beginning of the pull")
        client.kill()
    until(lambda: "late" in web.banger("image", "list", "-q").stdout.split(), "the image")
    until(lambda: os.listdir(web.paths.staging) == [], "an empty staging directory")
    web.banger("image", "delete", "late", check=True)


# -- the host from inside ---------------------------------------------------------------------------------------------


def test_the_hosts_loopback_and_the_metadata_service_are_out_of_reach(web: Home) -> None:
    """10.0.2.2 is what user networking calls the host; what listens on its loopback hears nothing of the guest."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        port = listener.getsockname()[1]
        for host in ("10.0.2.2", "169.254.169.254", "127.0.0.1"):
            web.banger("exec", "web", "--", "nc", "-w", "3", host, str(port))
            with pytest.raises(TimeoutError):
                listener.accept()
    assert "10.0.2.2" in web.banger("exec", "web", "--", "ip", "route", check=True).stdout, "it has a network"


def test_the_monitor_has_no_privileges(web: Home) -> None:
    pid = show(web, "web")["pid"]
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert "0" not in status["Uid"].split() + status["Gid"].split()
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0


# -- the clock --------------------------------------------------------------------------------------------------------


def test_a_guest_whose_clock_jumps_by_years_goes_on(web: Home) -> None:
    for year in ("2035", "1999"):
        web.banger("exec", "web", "--", "date", "-s", f"{year}-01-01 00:00", check=True)
        assert web.banger("exec", "--timeout", "30", "web", "--", "date", "+%Y").stdout == f"{year}\n"
        web.banger("cp", "/etc/passwd", "web:/root/", check=True)
        assert web.banger("exec", "--timeout", "1", "web", "--", "sleep", "60").status == 124
    health = web.banger("vm", "health", "web", "--json", check=True).json()
    assert isinstance(health, dict)
    assert health["clock_offset"] < -(20 * 365 * 86400)


def test_a_clock_is_right_again_after_a_restart(web: Home) -> None:
    web.banger("exec", "web", "--", "date", "-s", "1999-01-01 00:00", check=True)
    web.banger("vm", "restart", "web", check=True)
    allow_machine(web)
    health = web.banger("vm", "health", "web", "--json", check=True).json()
    assert isinstance(health, dict)
    assert abs(health["clock_offset"]) < 60


# -- the daemon and the monitor ---------------------------------------------------------------------------------------


def kill_daemon(room: Home) -> None:
    pid = daemon_pid(room)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid), "the daemon's end")


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        os.waitpid(pid, os.WNOHANG)  # the test process has adopted it
    return Path(f"/proc/{pid}").exists()


def test_a_daemon_killed_under_a_command_finds_its_machine_again(web: Home) -> None:
    before, health = show(web, "web"), web.banger("vm", "health", "web", "--json", check=True).json()
    assert isinstance(health, dict)
    with started(web, "exec", "web", *LIMITED, "echo up; exec sleep 9321") as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"up\n"
        kill_daemon(web)
        assert client.wait(60) == 125
    after = show(web, "web")
    allow_daemon(web)
    assert (after["state"], after["pid"], after["started"]) == ("running", before["pid"], before["started"])
    again = web.banger("vm", "health", "web", "--json", check=True).json()
    assert isinstance(again, dict)
    assert again["boot_id"] == health["boot_id"]
    assert web.banger("exec", "web", "--", "echo", "well", check=True).stdout == "well\n"
    until(lambda: running(web, "sleep 9321") == [], "the end of the command that nobody waits for")


def test_a_killed_monitor_is_noticed_and_named(web: Home) -> None:
    pid = show(web, "web")["pid"]
    assert isinstance(pid, int)
    with started(web, "exec", "web", *LIMITED, "echo up; exec sleep 100") as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"up\n"
        os.kill(pid, signal.SIGKILL)
        assert client.wait(60) == 125
    until(lambda: show(web, "web")["state"] == "stopped", "the end on record")
    assert show(web, "web")["stop_reason"] == "killed"
    ended = web.banger("exec", "web", "--", "true")
    assert ended.status == 125
    assert "the machine 'web' is stopped" in ended.stderr
    web.banger("vm", "start", "web", check=True)
    allow_machine(web)
    assert web.banger("exec", "web", "--", "echo", "well", check=True).stdout == "well\n"


def test_a_flooded_console_of_a_running_machine_is_cut(web: Home) -> None:
    limit = 1 << 20
    console = Path(web.paths.vm(str(show(web, "web")["id"])), "console.log")
    with started(web, "exec", "web", *LIMITED, "yes flooding the console >/dev/console"):
        until(lambda: console.stat().st_size > limit, "the flood")
        until(lambda: console.stat().st_size <= limit, "the cutting")
    assert web.banger("exec", "web", "--", "echo", "well", check=True).stdout == "well\n"
