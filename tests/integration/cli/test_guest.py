"""The verbs that speak to a guest, with a real one."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from banger import Client, Sandbox, errors
from tests.home import Home
from tests.integration.cli.terminal import OnTerminal

pytestmark = pytest.mark.qemu
GUEST_TMP = "/tmp"
SMALL = ("--image", "busybox", "--memory", "256M")


@pytest.fixture
def web(room: Home) -> str:
    """A machine that runs; `room` sees that it is deleted, the test does it."""
    return room.banger("run", "-d", "--name", "web", *SMALL, check=True).stdout.strip()


def names(room: Home) -> list[str]:
    return room.banger("ps", "-q", check=True).stdout.split()


def test_run_is_the_command_and_nothing_is_left(room: Home) -> None:
    ended = room.banger("run", "--rm", *SMALL, "-e", "A=b c", "--", "sh", "-c", 'echo "$A"; echo no >&2; exit 7')
    assert (ended.status, ended.stdout) == (7, "b c\n"), ended.stderr
    assert "no\n" in ended.stderr
    assert "deletes it" not in ended.stderr
    assert names(room) == []


def test_run_as_a_document_accounts_for_all_of_its_time(room: Home) -> None:
    began = time.monotonic()
    ended = room.banger("run", "--rm", "--json", *SMALL, "--", "sh", "-c", "echo out; echo err >&2; kill -TERM $$")
    took = time.monotonic() - began
    told = json.loads(ended.stdout)
    assert ended.status == 143
    assert (told["exit_code"], told["signal"], told["timed_out"]) == (None, 15, False)
    assert (told["stdout"], told["stderr"]) == ("out\n", "err\n")
    phases = [phase["name"] for phase in told["phases"]]
    assert phases[:2] == ["client start", "connect"]
    assert phases[-2:] == ["exec", "delete"]
    assert abs(sum(phase["seconds"] for phase in told["phases"]) - told["seconds"]) < 1e-3
    assert told["seconds"] <= took + 0.05  # the process was not there before it was started


def test_what_cannot_be_run_has_its_own_status(room: Home, web: str) -> None:
    assert room.banger("exec", web, "no-such-command").status == 127
    assert room.banger("exec", web, "/etc").status == 126
    ended = room.banger("exec", "--timeout", "1", web, "sleep", "100")
    assert ended.status == 124
    assert room.banger("exec", web, "--", "sh", "-c", "exit 42").status == 42
    room.banger("rm", web, check=True)


def test_streams_are_bytes_and_may_be_large(room: Home, web: str) -> None:
    data = os.urandom(3 << 20)
    with room.start("exec", "-i", web, "cat") as process:
        out, err = process.communicate(data, timeout=240)
    assert (process.returncode, out == data, err) == (0, True, b"")
    assert room.banger("exec", web, "cat", stdin=b"not for the guest").stdout == ""
    ended = room.banger("exec", web, "--", "sh", "-c", "head -c 20000000 /dev/zero | tr '\\0' x")
    assert len(ended.stdout) == 20_000_000
    with room.start("exec", web, "--", "yes") as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == b"y\ny\n"
        process.stdout.close()
        assert process.wait(120) == 141
    room.banger("rm", web, check=True)


def test_a_shell_reads_its_commands_from_a_pipe(room: Home) -> None:
    ended = room.banger("run", "--rm", *SMALL, stdin=b"echo hello from $(hostname)\nexit 3\n")
    assert ended.status == 3
    assert ended.stdout.startswith("hello from ")


def test_signals_are_passed_on(room: Home, web: str) -> None:
    with room.start(
        "exec", web, "--", "sh", "-c", "trap 'echo got it; exit 9' INT; echo ready; sleep 100 & wait"
    ) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"ready\n"
        client.send_signal(signal.SIGINT)
        assert client.stdout.read() == b"got it\n"
        assert client.wait(120) == 9
    room.banger("rm", web, check=True)


def test_a_client_that_is_killed_leaves_nothing(room: Home) -> None:
    with room.start("run", "--rm", *SMALL, "--", "sh", "-c", "echo up; sleep 1000") as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"up\n"
        client.kill()
    until_gone(room)


def until_gone(room: Home) -> None:
    deadline = time.monotonic() + 120
    while names(room):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_ctrl_c_while_it_starts_undoes_all(room: Home) -> None:
    with room.start("run", "--rm", *SMALL, "--", "true", stderr=subprocess.PIPE) as client:
        while not names(room):
            assert client.poll() is None
        client.send_signal(signal.SIGINT)
        _, said = client.communicate(timeout=120)
    assert client.returncode == 130, said
    assert names(room) == []


def test_a_shell_on_a_terminal_is_like_ssh(room: Home) -> None:
    session = OnTerminal(room, "run", "--name", "shell", *SMALL)
    session.expect("# ")
    assert not session.echoes()
    session.type("stty size; echo $TERM\r")
    session.expect("33 101")
    session.expect("xterm-256color")
    session.resize(50, 140)
    session.type("while ! stty size | grep -q '50 140'; do sleep 0.1; done; echo re''sized\r")
    session.expect("resized")
    session.expect("# ")  # what is typed earlier may be thrown away with the line that Ctrl-C ends
    session.type("sleep 1000\r")
    session.expect("sleep 1000")
    time.sleep(0.5)
    session.type("\x03")
    session.expect("# ")
    session.type("\x04")
    assert session.end() in (0, 130)
    assert b"'banger rm shell' deletes it" in session.seen
    room.banger("rm", "shell", check=True)


def test_the_terminal_is_given_back_when_the_machine_dies(room: Home, web: str) -> None:
    session = OnTerminal(room, "exec", "-it", web, "sh")
    session.expect("# ")
    assert not session.echoes()
    room.banger("vm", "kill", web, check=True)
    while not session.echoes():
        time.sleep(0.05)
    assert session.end() == 125
    room.banger("rm", web, check=True)


def test_files_go_both_ways(room: Home, web: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "file").write_bytes(b"\0\xff" * 70000)
    (tree / "link").symlink_to("sub/file")
    (tree / "sub" / "file").chmod(0o751)
    room.banger("cp", str(tree), f"{web}:/tmp/copy", check=True)  # missing: made as a copy
    room.banger("cp", str(tree), f"{web}:/tmp/copy", check=True)  # there: copied into it
    room.banger("cp", f"{tree}/.", f"{web}:/root", check=True)  # contents
    room.banger("cp", str(tree / "sub" / "file"), f"{web}:/tmp/renamed", check=True)
    kept = ("-path", "/root/.ssh", "-prune", "-o")
    found = room.banger("exec", web, "--", "find", GUEST_TMP, "/root", *kept, "-type", "f", "-print").stdout.split()
    expected = ["copy/sub/file", "copy/tree/sub/file", "renamed"]
    assert sorted(found) == ["/root/sub/file", *(f"{GUEST_TMP}/{name}" for name in expected)]
    room.banger("cp", f"{web}:/tmp/copy", str(tmp_path / "back"), check=True)
    assert (tmp_path / "back" / "sub" / "file").read_bytes() == b"\0\xff" * 70000
    assert (tmp_path / "back" / "sub" / "file").stat().st_mode & 0o777 == 0o751
    assert os.readlink(tmp_path / "back" / "link") == "sub/file"
    room.banger("cp", f"{web}:/tmp/renamed", str(tmp_path / "back"), check=True)
    assert (tmp_path / "back" / "renamed").is_file()
    missing = room.banger("cp", f"{web}:/nope", str(tmp_path / "x"))
    assert (missing.status, missing.stderr) == (3, "banger: web:/nope: there is no such file or directory\n")
    assert not (tmp_path / "x").exists()
    assert room.banger("cp", str(tmp_path / "nope"), f"{web}:/tmp/").status == 3
    assert room.banger("cp", str(tree), f"{web}:/no/such/place").status == 3
    assert room.banger("cp", str(tree), f"{web}:/etc/passwd").status == 2
    room.banger("rm", web, check=True)


def test_the_sdk_does_the_same(room: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in room.env.items():
        monkeypatch.setenv(name, value)
    with Client() as client, Sandbox(image="busybox", memory="256M", env={"A": "b"}, client=client) as box:
        result = box.exec(["sh", "-c", "cat; echo $A >&2; exit 3"], input=b"x" * 2_000_000)
        assert (result.exit_code, len(result.stdout), result.stderr) == (3, 2_000_000, b"b\n")
        assert box.exec(["pwd"], cwd=GUEST_TMP, check=True).text == f"{GUEST_TMP}\n"
        assert box.exec(["yes"], limit=100, timeout=1).truncated
        with pytest.raises(errors.CommandFailed, match="ended with status 5: no"):
            box.exec(["sh", "-c", "echo no >&2; exit 5"], check=True)
        with pytest.raises(errors.TimedOut):
            box.exec(["sleep", "100"], timeout=1, check=True)
        with pytest.raises(errors.CommandNotFound):
            box.exec(["nope"])
        with box.popen(["cat"], stdin=True) as command:
            command.write(b"hello")
            command.close_stdin()
            assert b"".join(data for _, data in command) == b"hello"
        assert command.exit_code == 0
        assert box.health().init == "agent"
        assert [vm.name for vm in client.vm_list().vms] == [box.name]
    assert names(room) == []
