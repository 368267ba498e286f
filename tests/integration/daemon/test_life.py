"""The daemon's start and end: one at a time, in a private place, without losing anything."""

import os
import signal
import socket
import stat
from pathlib import Path

from tests.integration.daemon.conftest import PATIENCE, Daemon


def mode(path: str) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def failure(installation: Daemon) -> str:
    """Start it in vain; what it says last."""
    assert installation.launch().wait(PATIENCE) == 1
    return installation.log.read_text().strip().splitlines()[-1]


def test_everything_it_makes_is_private(daemon: Daemon) -> None:
    assert mode(daemon.paths.socket) == 0o600
    assert mode(daemon.paths.lock) == 0o600
    assert mode(daemon.paths.runtime) == 0o700
    assert mode(daemon.paths.state) == 0o700
    assert mode(daemon.paths.database) == 0o600


def test_it_ends_in_order_and_leaves_no_socket(daemon: Daemon) -> None:
    assert daemon.end(signal.SIGTERM) == 0
    assert not os.path.exists(daemon.paths.socket)
    assert daemon.notes() == ["closed"]
    daemon.start()
    assert daemon.end(signal.SIGINT) == 0
    daemon.start()
    assert daemon.call("POST", "/v1/daemon/stop") == (200, {})
    assert daemon.process is not None
    assert daemon.process.wait(PATIENCE) == 0
    daemon.process = None


def test_who_has_started_it_is_told_once_it_serves(installation: Daemon) -> None:
    """As systemd starts it (sd_notify(3)); what it starts itself is not given the address."""
    address = installation.paths.runtime + "-notified"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(address)
        told.settimeout(PATIENCE)
        installation.env["NOTIFY_SOCKET"] = address
        installation.process = installation.launch()
        assert told.recv(100) == b"READY=1"
        assert installation.get("/v1/daemon")[0] == 200
        assert installation.end(signal.SIGTERM) == 0
        assert told.recv(100) == b"STOPPING=1"
    installation.start()  # nobody listens there any more, which is no hindrance
    assert "systemd was not told READY=1: Connection refused" in installation.log.read_text()


def test_a_second_daemon_names_the_first(daemon: Daemon) -> None:
    assert daemon.process is not None
    assert f"daemon_running: a daemon is already running here (pid {daemon.process.pid})" in failure(daemon)
    assert daemon.answers()


def test_a_socket_that_a_dead_daemon_left_is_replaced(daemon: Daemon) -> None:
    daemon.end(signal.SIGKILL)
    assert os.path.exists(daemon.paths.socket)
    daemon.start()


def test_what_is_no_socket_is_not_replaced(installation: Daemon) -> None:
    os.mkdir(installation.paths.runtime, 0o700)
    Path(installation.paths.socket).write_text("precious")
    assert "unsafe_directory" in failure(installation)
    assert Path(installation.paths.socket).read_text() == "precious"


def test_a_runtime_directory_that_is_a_symlink_is_refused(installation: Daemon, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", installation.paths.runtime)
    assert "it is a symbolic link" in failure(installation)
    assert os.listdir(tmp_path / "elsewhere") == []


def test_a_runtime_directory_below_one_that_others_may_write_to_is_refused(installation: Daemon) -> None:
    loose = Path(installation.paths.runtime)
    loose.mkdir()
    loose.chmod(0o777)
    installation.env["BANGER_RUNTIME_DIR"] = str(loose / "run")
    assert "others may write to" in failure(installation)
    assert not (loose / "run").exists()


def test_a_runtime_directory_with_a_loose_mode_is_tightened(installation: Daemon) -> None:
    os.mkdir(installation.paths.runtime)
    os.chmod(installation.paths.runtime, 0o755)  # noqa: S103
    installation.start()
    assert mode(installation.paths.runtime) == 0o700


def test_a_path_that_is_too_long_for_a_socket_is_named(installation: Daemon, tmp_path: Path) -> None:
    installation.env["BANGER_RUNTIME_DIR"] = str(tmp_path / ("x" * 100))
    assert "too long for a socket" in failure(installation)


def test_a_setting_that_is_wrong_keeps_it_from_starting(installation: Daemon) -> None:
    os.makedirs(installation.paths.config)
    Path(installation.paths.config, "config.toml").write_text("log_levle = 'debug'")
    assert "did you mean log_level?" in failure(installation)


def test_a_store_that_is_damaged_keeps_it_from_starting(installation: Daemon) -> None:
    os.makedirs(installation.paths.state)
    Path(installation.paths.database).write_bytes(b"precious" * 1000)
    assert "store_unreadable" in failure(installation)
    assert Path(installation.paths.database).read_bytes() == b"precious" * 1000
    assert not os.path.exists(installation.paths.socket)


def test_a_state_directory_that_is_a_file_keeps_it_from_starting(installation: Daemon) -> None:
    Path(installation.paths.state).write_text("precious")
    assert "unsafe_directory" in failure(installation)


def test_a_killed_daemon_is_recovered_by_the_next(daemon: Daemon) -> None:
    operation = daemon.make("hang-here")
    made = Path(daemon.paths.state, "hang-here.2")
    daemon.wait_for(made.exists)
    assert daemon.get(f"/v1/operations/{operation}")[1]["state"] == "running"
    daemon.end(signal.SIGKILL)
    assert made.exists()

    daemon.start()
    status, found = daemon.get(f"/v1/operations/{operation}")
    assert status == 200
    assert (found["state"], found["error"]["code"], found["error"]["operation"]) == ("failed", "interrupted", operation)
    assert not made.exists()
    assert not Path(daemon.paths.state, "hang-here.1").exists()


def test_an_orderly_end_also_leaves_changes_to_the_next(daemon: Daemon) -> None:
    operation = daemon.make("hang-here")
    daemon.wait_for(Path(daemon.paths.state, "hang-here.2").exists)
    with daemon.stream(f"/v1/operations/{operation}/events"):
        assert daemon.end() == 0
    daemon.start()
    assert daemon.get(f"/v1/operations/{operation}")[1]["state"] == "failed"
    assert not Path(daemon.paths.state, "hang-here.1").exists()


def test_streams_do_not_keep_it_from_ending(daemon: Daemon) -> None:
    daemon.make()
    hold, logs = daemon.stream("/v1/vms/m/hold"), daemon.stream("/v1/vms/m/logs?follow=1")
    with hold, logs, daemon.exec("stuck") as stuck:
        stuck.recv()
        assert daemon.end() == 0
    assert "release id-m" in daemon.notes()


def test_it_is_small_when_idle_and_its_memory_does_not_grow_with_records(daemon: Daemon) -> None:
    def resident() -> int:
        assert daemon.process is not None
        text = Path(f"/proc/{daemon.process.pid}/status").read_text()
        return int(next(line for line in text.splitlines() if line.startswith("VmRSS")).split()[1]) << 10

    idle = resident()
    assert idle <= 60 << 20
    for number in range(100):
        daemon.make(f"vm-{number}")
    assert len(daemon.get("/v1/vms")[1]["vms"]) == 100
    assert resident() - idle <= 5 << 20


def test_a_client_that_says_nothing_keeps_nobody_waiting(daemon: Daemon) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(daemon.paths.socket)
        assert daemon.answers()
