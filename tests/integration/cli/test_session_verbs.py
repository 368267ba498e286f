"""``banger vm session``: verbs, daemon and agent in earnest, on a machine that is a process of this host."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from banger import errors
from banger.sdk.client import Client
from banger.sdk.sessions import Sessions
from tests.fakes import prepare, request
from tests.home import Home, make_home, passable

WAIT = 60.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with passable(tmp_path_factory.mktemp("sessions")) as directory, make_home(directory) as home:
        prepare(home)
        with Client(home.paths.socket) as client:
            for name in ("web", "other"):
                client.wait(client.vm_create(request(name)))
        yield home
        home.banger("vm", "delete", "web", "other", check=True)


@pytest.fixture
def sessions(home: Home) -> Iterator[Sessions]:
    with Client(home.paths.socket) as client:
        yield client.sessions("web")
        for each in client.sessions("web").list():
            if each.state == "running":
                client.sessions("web").get(each.id).stop(5)


def told(home: Home, *words: str, status: int = 0) -> Any:
    """The document of a verb."""
    done = home.banger("vm", "session", *words, "--json")
    assert done.status == status, done.stderr
    return json.loads(done.stdout)


def test_a_session_from_its_start_to_its_end(home: Home, sessions: Sessions) -> None:
    script = 'read line; echo "got $line"; echo "no $line" >&2; exit 7'
    started = home.banger("vm", "session", "start", "--stdin", "--name", "first", "-w", "/", "web", "sh", "-c", script)
    assert (started.status, started.stdout) == (0, "first\n"), started.stderr
    listed = home.banger("vm", "session", "list", "web", check=True).stdout
    assert "first" in listed
    assert "running" in listed
    shown = told(home, "show", "web", "first")
    assert (shown["vm"], shown["state"], shown["argv"], shown["cwd"]) == ("web", "running", ["sh", "-c", script], "/")
    assert shown["stdin"]
    assert told(home, "send", "web", "first", "this", "--newline") == {"taken": 5}
    assert home.banger("vm", "session", "wait", "web", shown["id"][:6]).status == 7
    logs = home.banger("vm", "session", "logs", "web", "first")
    assert (logs.status, logs.stdout, logs.stderr) == (0, "got this\n", "no this\n")
    assert home.banger("vm", "session", "logs", "--stream", "stderr", "web", "first").stdout == ""
    ended = told(home, "wait", "web", "first", status=7)
    assert (ended["state"], ended["exit_code"], ended["stdout_bytes"]) == ("exited", 7, 9)
    assert "exited (7)" in home.banger("vm", "session", "list", "web").stdout
    assert home.banger("vm", "session", "list", "-q", "web").stdout.split()[-1] == "first"
    assert "exited (7)" in home.banger("vm", "session", "show", "web", "first").stdout


def test_exec_detach_is_a_session(home: Home, sessions: Sessions) -> None:
    started = home.banger("exec", "--detach", "web", "sh", "-c", "echo up; exec sleep 600", check=True)
    (session,) = [each for each in sessions.list() if each.id == started.stdout.strip()]
    assert session.state == "running"
    done = home.banger("vm", "session", "stop", "web", session.id)
    assert (done.status, done.stderr) == (0, f"{session.id} killed (signal 15)\n")
    assert home.banger("vm", "session", "wait", "web", session.id).status == 128 + signal.SIGTERM
    assert home.banger("vm", "session", "stop", "web", session.id).status == 0, "it is left as it is"


def test_names_of_sessions(home: Home, sessions: Sessions) -> None:
    for name in ("", "UPPER", "a b", "a/b", "-a", "ä", "a" * 64, "$(id)", "../a", "a\n"):
        done = home.banger("vm", "session", "start", f"--name={name}", "web", "true")
        assert done.status == 2, name
        assert "is not a valid name" in done.stderr
    sessions.start(["sleep", "600"], name="one")
    with pytest.raises(errors.AlreadyExists):
        sessions.start(["sleep", "600"], name="one")
    done = home.banger("vm", "session", "start", "--name", "one", "web", "true")
    assert (done.status, "end it first" in done.stderr) == (4, True)
    for ref in ("nobody", "a b", "../one", "%2e", "UPPER"):
        done = home.banger("vm", "session", "show", "web", ref)
        assert done.status != 0, ref
        assert "Traceback" not in done.stderr
    with pytest.raises(errors.NotFound, match="session"):
        sessions.get("nobody").show()


def test_dead_sessions_and_stopped_machines_are_told_of(home: Home, sessions: Sessions) -> None:
    dead = sessions.start(["true"], name="dead")
    assert dead.wait().exit_code == 0
    for attempt in (lambda: dead.send(b"x"), dead.kill, lambda: dead.attach()):
        with pytest.raises(errors.SessionEnded, match="'dead'"):
            attempt()
    assert dead.stop().state == "exited"
    with Client(home.paths.socket) as client:
        other = client.sessions("other")
        pid = other.start(["sh", "-c", "echo up; exec sleep 600"], name="gone").show().pid
        follower = other.get("gone").logs(follow=True)
        assert next(follower).data == b"up\n"
        watching = home.start("vm", "session", "logs", "-f", "other", "gone")
        waiting = home.start("vm", "session", "wait", "other", "gone")
        assert watching.stdout is not None
        assert watching.stdout.read(3) == b"up\n"
        client.wait(client.vm_stop("other"))
        with contextlib.suppress(ProcessLookupError):  # no machine takes its processes along that is itself one
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(errors.AgentLost):
            next(follower)
        said = watching.communicate(timeout=WAIT)[1]
        assert (watching.returncode, b"connection to the guest's agent was lost" in said) == (125, True), said
        waiting.communicate(timeout=WAIT)
        assert waiting.returncode == 125, "whether it was there before the machine was gone or not"
        with pytest.raises(errors.WrongState) as refused:
            other.get("gone").logs().__next__()
        assert "sessions end with their machine" in refused.value.advice
        assert home.banger("vm", "session", "list", "other").status == 4
        client.wait(client.vm_start("other"))
        assert other.list() == []
        client.wait(client.vm_kill("other"))
    with pytest.raises(errors.UsageError, match="no signal"):
        sessions.start(["sleep", "600"]).kill(99)
    assert home.banger("vm", "session", "kill", "-s", "NONE", "web", "dead").status == 2


def test_what_cannot_run_is_no_session(home: Home, sessions: Sessions) -> None:
    before = len(sessions.list())
    assert home.banger("vm", "session", "start", "web", "no-such-command").status == 127
    with pytest.raises(errors.NoWorkingDirectory, match="working directory"):
        sessions.start(["true"], cwd="/no/such/directory")
    assert len(sessions.list()) == before


def test_bytes_of_all_kinds_go_in_and_come_out(home: Home, sessions: Sessions) -> None:
    data = bytes(range(256)) * 3000
    session = sessions.start(["cat"], stdin=True)
    assert session.send(data[:10]) == 10
    sent = home.banger("vm", "session", "send", "web", session.ref, "--file", "-", "--eof", stdin=data[10:])
    assert sent.status == 0, sent.stderr
    assert b"".join(piece.data for piece in session.logs(follow=True)) == data
    done = home.start("vm", "session", "logs", "web", session.ref)
    assert done.communicate(timeout=WAIT)[0] == data
    with pytest.raises(errors.SessionEnded):
        session.send(b"x")


def test_a_command_that_never_reads_is_told_of(home: Home, sessions: Sessions) -> None:
    session = sessions.start(["sleep", "600"], stdin=True, name="deaf")
    done = home.banger("vm", "session", "send", "--timeout", "0.5", "--file", "-", "web", "deaf", stdin=bytes(1 << 20))
    assert done.status == 124
    assert "'deaf' took 65" in done.stderr, "as much as a pipe holds, in whole pieces"
    with pytest.raises(errors.UsageError, match="time limit"):
        session.send(b"x", timeout=1e6)
    without = sessions.start(["sleep", "600"])
    with pytest.raises(errors.StdinClosed):
        without.send(b"x")


def test_a_log_tells_what_it_does_not_keep(home: Home, sessions: Sessions) -> None:
    session = sessions.start(["sh", "-c", "head -c 20000000 /dev/zero | tr '\\0' x; echo; echo end"])
    assert session.wait().stdout_bytes == 20_000_005
    *_, last = pieces = list(session.logs())
    assert last.dropped + sum(len(piece.data) for piece in pieces) == 20_000_005
    assert last.dropped == session.show().dropped_bytes
    shown = home.banger("vm", "session", "logs", "web", session.ref)
    assert "more were said" in shown.stderr
    tail = home.banger("vm", "session", "logs", "--tail", "1", "web", session.ref)
    assert (tail.stdout, tail.stderr) == ("end\n", "")


def test_several_read_while_it_speaks(home: Home, sessions: Sessions) -> None:
    session = sessions.start(["sh", "-c", "read go; for n in $(seq 5000); do echo $n; done"], stdin=True)
    followers = [home.start("vm", "session", "logs", "-f", "web", session.ref) for _ in range(3)]
    session.send(b"\n")
    for each in followers:
        assert each.communicate(timeout=WAIT)[0].split()[-1] == b"5000"
        assert each.returncode == 0


def test_attachments(home: Home, sessions: Sessions) -> None:
    session = sessions.start(["cat"], stdin=True, name="cat")
    with session.attach() as first:
        with pytest.raises(errors.StdinTaken, match="'cat'"):
            session.attach()
        with pytest.raises(errors.StdinTaken, match="'cat'"):
            session.send(b"x")
        onlooker = home.start("vm", "session", "attach", "--read-only", "web", "cat")
        first.write(b"typed\n")
        assert next(iter(first)) == (1, b"typed\n")
        assert onlooker.stdout is not None
        assert onlooker.stdout.read(6) == b"typed\n"
    deadline = time.monotonic() + WAIT
    while True:  # the daemon has to notice that the first has left
        try:
            assert session.send(b"sent\n", eof=True) == 5
            break
        except errors.StdinTaken:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert onlooker.communicate(timeout=WAIT) == (b"sent\n", b"")
    assert onlooker.returncode == 0, "the session's own status"


def test_a_signal_through_an_attachment_is_refused(sessions: Sessions) -> None:
    session = sessions.start(["cat"], stdin=True)
    with session.attach() as attachment:
        attachment.send_signal(15)
        with pytest.raises(errors.UsageError, match="no signals"):
            attachment.wait()
    assert session.show().state == "running"


def test_names_are_completed(home: Home, sessions: Sessions) -> None:
    sessions.start(["sleep", "600"], name="alpha")
    found = home.banger("internal", "complete", "--", "vm", "session", "logs", "web", "al").stdout
    assert found == "alpha\tsession\n"
    assert "web" in home.banger("internal", "complete", "--", "vm", "session", "logs", "").stdout


def test_sending_makes_sense_or_is_refused(home: Home, sessions: Sessions, tmp_path: Path) -> None:
    sessions.start(["cat"], stdin=True, name="sink")
    for words in ((), ("text", "--file", "x")):
        assert home.banger("vm", "session", "send", "web", "sink", *words).status == 2
    assert home.banger("vm", "session", "send", "web", "sink", "--file", str(tmp_path / "none")).status == 3
    assert home.banger("vm", "session", "send", "web", "sink", "--eof").status == 0
    assert home.banger("vm", "session", "wait", "web", "sink").status == 0


def test_a_reader_that_goes_away_disturbs_nobody(home: Home, sessions: Sessions) -> None:
    session = sessions.start(["yes"])
    with home.start("vm", "session", "logs", "-f", "web", session.ref, stderr=subprocess.DEVNULL) as reader:
        assert reader.stdout is not None
        assert reader.stdout.read(4) == b"y\ny\n"
        reader.stdout.close()
        assert reader.wait(WAIT) == 128 + signal.SIGPIPE
    assert session.stop().state == "killed"
