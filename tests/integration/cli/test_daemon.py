"""Verbs against a real daemon that has no machines: found, started, ended, and what is told when it is not there."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from banger import proc
from tests.home import Home


def status(home: Home) -> dict[str, object]:
    found = json.loads(home.banger("daemon", "status", "--json").stdout)
    assert isinstance(found, dict)
    return found


def test_a_daemon_is_started_found_again_and_ended(home: Home) -> None:
    assert home.banger("daemon", "status").status == 3
    listed = home.banger("ps", check=True)
    assert listed.stdout.split()[:3] == ["NAME", "STATE", "IMAGE"]
    assert listed.stderr == ""
    first = status(home)
    assert first["state"] == "running"
    assert first["socket"] == home.paths.socket
    home.banger("vm", "list", check=True)
    assert status(home)["pid"] == first["pid"]
    home.banger("daemon", "stop", check=True)
    assert isinstance(first["pid"], int)
    assert proc.start_ticks(first["pid"]) is None
    assert status(home) == {"state": "stopped", "socket": home.paths.socket, "log": home.paths.daemon_log}
    assert home.banger("daemon", "stop").status == 0


def test_clients_that_begin_at_once_share_one_daemon(home: Home) -> None:
    clients = [home.start("vm", "list", "--json") for _ in range(4)]
    ended = [client.communicate(timeout=120) for client in clients]
    assert [client.returncode for client in clients] == [0] * 4, ended
    assert all(json.loads(out) == {"vms": []} for out, _ in ended)
    assert Path(home.paths.daemon_log).read_text().count(" serves ") == 1


def test_a_stale_socket_is_no_obstacle(home: Home) -> None:
    home.banger("daemon", "start", check=True)
    pid = status(home)["pid"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    while proc.start_ticks(pid) is not None:
        time.sleep(0.01)
    assert os.path.exists(home.paths.socket)
    home.banger("ps", check=True)
    assert status(home)["pid"] != pid


def test_a_daemon_that_cannot_start_says_why(home: Home) -> None:
    os.makedirs(home.paths.config)
    Path(home.paths.config, "config.toml").write_text("no_such_key = 1\n")
    ended = home.banger("ps")
    assert ended.status == 1
    assert ended.stdout == ""
    assert "it ended at once" in ended.stderr
    assert "no_such_key" in ended.stderr


def test_a_runtime_directory_of_others_is_refused(home: Home) -> None:
    os.makedirs(home.paths.runtime, mode=0o700)
    os.chmod(home.paths.runtime, 0o777)  # noqa: S103
    ended = home.banger("ps")
    assert ended.status == 1
    assert "others may write to it" in ended.stderr
    os.chmod(home.paths.runtime, 0o700)


def test_a_runtime_directory_that_is_a_link_is_refused(home: Home, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    os.symlink(tmp_path / "elsewhere", home.paths.runtime)
    ended = home.banger("ps")
    assert ended.status == 1
    assert "is not a directory" in ended.stderr
    os.unlink(home.paths.runtime)


def test_a_socket_that_nobody_serves_any_more(home: Home) -> None:
    os.makedirs(home.paths.runtime, mode=0o700)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(home.paths.socket)
    assert home.banger("daemon", "status").status == 3
    home.banger("ps", check=True)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["vm", "show", "nope"], 3, "there is no machine named 'nope'"),
        (["vm", "start", "nope"], 3, "there is no machine named 'nope'"),
        (["exec", "nope", "true"], 125, "there is no machine named 'nope'"),
        (["cp", "nope:/etc/passwd", "."], 3, "there is no machine named 'nope'"),
        (["cp", "/etc/passwd", "nope:/"], 3, "there is no machine named 'nope'"),
        (["cp", "a", "b"], 2, "neither is in a machine"),
        (["cp", "a:/x", "b:/y"], 2, "both are in machines"),
        (["image", "show", "nope"], 3, "there is no image named 'nope'"),
        (["image", "delete", "nope"], 3, "there is no image named 'nope'"),
        (["kernel", "show", "nope"], 3, "there is no kernel named 'nope'"),
        (["vm", "create", "--name", "No Good"], 2, "is not a valid name"),
        (["run", "--name", "No Good", "--", "true"], 125, "is not a valid name"),
        (["run", "-d", "--rm"], 125, "use one of them"),
        (["run", "-d", "--", "true"], 125, "takes no command"),
        (["run", "stray"], 125, "there is no such directory"),
        (["run", "one", "two"], 125, "unrecognized arguments: two"),
        (["frobnicate"], 2, "there is no verb 'banger frobnicate'"),
        (["vm", "lst"], 2, "do you mean 'banger vm list'?"),
    ],
)
def test_failures_are_told_and_numbered(home: Home, words: list[str], status: int, said: str) -> None:
    ended = home.banger(*words)
    assert (ended.status, ended.stdout) == (status, "")
    assert ended.stderr.startswith("banger: ")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_one_bad_name_does_not_hide_the_others(home: Home) -> None:
    ended = home.banger("vm", "start", "one", "two", "one")
    assert ended.status == 3
    assert ended.stderr.count("there is no machine named 'one'") == 2  # a name that is not there cannot be one twice
    assert ended.stderr.count("there is no machine named 'two'") == 1
    told = home.banger("vm", "start", "one", "two", "--json")
    assert [each["error"]["code"] for each in json.loads(told.stdout)["results"]] == ["not_found"] * 2


def test_a_reader_that_leaves_is_no_error_message(home: Home) -> None:
    with home.start("help", "vm", "run") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.parametrize("words", [["version"], ["help"], ["vm", "list", "--json"]])
def test_a_result_that_cannot_be_written_is_a_failure_that_is_told(home: Home, words: list[str]) -> None:
    with open("/dev/full", "w") as full, home.start(*words, stdout=full) as process:
        _, said = process.communicate()
    assert process.returncode == 1
    assert said.startswith(b"banger: no space left on the disk that holds standard output\n")
    assert b"Traceback" not in said


def test_the_completion_script_answers_in_bash(home: Home, tmp_path: Path) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    script = tmp_path / "banger.bash"
    script.write_text(home.banger("completion", "bash", check=True).stdout)
    fake = tmp_path / "bin"
    fake.mkdir()
    runner = fake / "banger"

    runner.write_text(
        f"#!{sys.executable}\nimport sys\nfrom banger.cli.main import main\nsys.exit(main(sys.argv[1:]))\n"
    )
    runner.chmod(0o755)
    ask = (
        f"source {script}; COMP_WORDS=(banger vm re); COMP_CWORD=2; COMP_LINE='banger vm re'; COMP_POINT=12; "
        '_banger; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    env = {**home.env, "PATH": f"{fake}:{home.env['PATH']}"}
    found = subprocess.run([bash, "-c", ask], env=env, capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.split() == ["restart"]


def test_help_needs_no_daemon(home: Home) -> None:
    assert home.banger("help", check=True).stdout.startswith("Usage: banger")
    assert home.banger("vm", "run", "--help", check=True).stdout.startswith("Usage: banger vm run")
    assert status(home)["state"] == "stopped"
