"""Attempts to reach somebody else's daemon, or to be in the place where it will be."""

import os
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.daemon.conftest import PATIENCE, Daemon

NOBODY = 65534

ASK = """
import socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(sys.argv[1])
    connection.sendall(sys.argv[2].encode().decode("unicode_escape").encode())
    sys.stdout.buffer.write(connection.makefile("rb").read())
"""


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon whose files are at a place that others can reach."""
    with tempfile.TemporaryDirectory(prefix="banger-", dir="/tmp") as short:
        daemon = Daemon(tmp_path, Path(short, "run"))
        yield daemon
        if daemon.process is not None:
            daemon.end(signal.SIGKILL)


def refused(victim: Daemon) -> str:
    assert victim.launch().wait(PATIENCE) == 1
    return victim.log.read_text()


def test_a_link_planted_at_the_runtime_directory_is_not_followed(victim: Daemon, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir(mode=0o755)
    os.symlink(target, victim.paths.runtime)
    assert "it is a symbolic link" in refused(victim)
    assert os.listdir(target) == []
    assert stat.S_IMODE(target.stat().st_mode) == 0o755


def test_a_link_planted_at_the_lock_is_not_followed(victim: Daemon, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    os.mkdir(victim.paths.runtime, 0o700)
    os.symlink(target, victim.paths.lock)
    assert victim.launch().wait(PATIENCE) == 1
    assert target.read_text() == "precious"


def test_a_link_planted_at_the_socket_is_not_replaced(victim: Daemon, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    os.mkdir(victim.paths.runtime, 0o700)
    os.symlink(target, victim.paths.socket)
    assert "it is not a socket" in refused(victim)
    assert target.read_text() == "precious"


def test_a_loose_umask_makes_nothing_loose(victim: Daemon) -> None:
    before = os.umask(0)
    try:
        victim.start()
    finally:
        os.umask(before)
    for path in (victim.paths.socket, victim.paths.lock, victim.paths.database):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(victim.paths.runtime).st_mode) == 0o700


@pytest.mark.root
def test_a_runtime_directory_of_somebody_else_is_refused(victim: Daemon) -> None:
    os.mkdir(victim.paths.runtime, 0o700)
    os.chown(victim.paths.runtime, NOBODY, NOBODY)
    assert f"it belongs to uid {NOBODY}" in refused(victim)
    assert os.listdir(victim.paths.runtime) == []


@pytest.mark.root
def test_a_runtime_directory_below_one_of_somebody_else_is_refused(victim: Daemon) -> None:
    above = Path(victim.paths.runtime)
    above.mkdir(mode=0o700)
    os.chown(above, NOBODY, NOBODY)
    victim.env["BANGER_RUNTIME_DIR"] = str(above / "run")
    assert f"belongs to uid {NOBODY}" in refused(victim)


@pytest.mark.root
def test_another_user_cannot_even_connect(victim: Daemon) -> None:
    victim.start()
    Path(victim.paths.runtime).parent.chmod(0o755)
    status, answer = ask_as(NOBODY, victim, "GET /v1/vms HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n")
    assert (status, answer) == (1, b"")


@pytest.mark.root
def test_another_user_who_gets_past_the_modes_is_refused_whatever_he_sends(victim: Daemon) -> None:
    victim.start()
    victim.make()
    Path(victim.paths.runtime).parent.chmod(0o755)
    os.chmod(victim.paths.runtime, 0o711)  # noqa: S103
    os.chmod(victim.paths.socket, 0o666)  # noqa: S103
    for request in (
        "GET /v1/vms HTTP/1.1\r\nHost: b\r\n\r\n",
        "POST /v1/daemon/stop HTTP/1.1\r\nHost: b\r\n\r\n",
        "DELETE /v1/vms/m HTTP/1.1\r\nHost: b\r\n\r\n",
        "GET /v1/vms/m/exec HTTP/1.1\r\nHost: b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    ):
        status, answer = ask_as(NOBODY, victim, request)
        assert status == 0
        assert answer.startswith(b"HTTP/1.1 403 "), answer
        assert f"uid {NOBODY} may not use this daemon".encode() in answer
    assert victim.answers()


def ask_as(uid: int, victim: Daemon, request: str) -> tuple[int, bytes]:
    """What another user gets for a request, with the status of the program that asked."""
    done = subprocess.run(
        ["/usr/bin/python3", "-ISc", ASK, victim.paths.socket, request.replace("\r\n", "\\r\\n")],
        user=uid,
        group=uid,
        extra_groups=[],
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout
