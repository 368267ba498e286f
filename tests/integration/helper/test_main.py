"""The real helper: the zipapp as root, started by hand and as systemd would, asked by its owner and by others."""

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from banger import errors
from banger.privileged import archive, runner
from banger.privileged.client import Helper
from tests.installed_helper import OWNER, Installed, installed_helper

pytestmark = pytest.mark.root

OTHER = 54_322

ASK = """
import contextlib, socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(sys.argv[1])
    with contextlib.suppress(BrokenPipeError):  # whoever refuses does not wait for what we say
        connection.sendall(len(sys.argv[2]).to_bytes(4, "big") + sys.argv[2].encode())
    print(connection.recv(1 << 16)[4:].decode())
"""


@pytest.fixture
def installed() -> Iterator[Installed]:
    with installed_helper() as made:
        yield made


def ask_as(uid: int, path: Path) -> "subprocess.CompletedProcess[str]":
    argv: Sequence[str] = ["/usr/bin/python3", "-c", ASK, str(path), '{"operation": "helper.ping"}']
    return subprocess.run(
        argv, user=uid, group=uid, extra_groups=[], capture_output=True, text=True, timeout=60, cwd="/", check=False
    )


def test_it_serves_its_owner_and_root_and_nobody_else(installed: Installed) -> None:
    installed.start()
    found = installed.socket.lstat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o600, OWNER, OWNER)
    assert stat.S_IMODE(installed.socket.parent.stat().st_mode) == 0o711
    assert installed.ping() == {"digest": archive.digest(), "python": installed.ping()["python"]}
    assert json.loads(ask_as(OWNER, installed.socket).stdout)["values"]["digest"] == archive.digest()
    assert "PermissionError" in ask_as(OTHER, installed.socket).stderr
    installed.socket.chmod(0o666)  # even then
    assert json.loads(ask_as(OTHER, installed.socket).stdout) == {"refused": f"uid {OTHER} may not ask"}
    lines = installed.end()
    assert [line["uid"] for line in lines if line.get("operation") == "helper.ping"] == [0, 0, OWNER]
    assert [line["uid"] for line in lines if line["outcome"] == "refused"] == [OTHER]


def test_a_second_one_does_not_take_the_first_ones_place(installed: Installed) -> None:
    installed.start()
    first = installed.process
    assert "somebody listens" in installed.said_at_start()
    assert installed.ping()
    assert first is not None
    first.kill()
    first.communicate()
    installed.start()  # what a killed one left is no hindrance
    assert installed.ping()


def test_as_systemd_starts_it(installed: Installed) -> None:
    """The socket is passed as descriptor 3, and readiness is told."""
    installed.socket.parent.mkdir()
    told = installed.directory / "notify"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        listener.bind(str(installed.socket))
        listener.listen()
        notified.bind(str(told))
        notified.settimeout(30)
        code = (
            f"import os, sys; os.dup2({listener.fileno()}, 3); os.environ['LISTEN_PID'] = str(os.getpid());"
            f"os.environ['LISTEN_FDS'] = '1'; os.environ['NOTIFY_SOCKET'] = {str(told)!r};"
            "os.execv(sys.argv[1], sys.argv[1:])"
        )
        argv = ["/usr/bin/python3", "-IS", str(installed.zipapp), "--record", str(installed.record)]
        installed.process = subprocess.Popen(
            [sys.executable, "-c", code, *argv], stderr=subprocess.PIPE, text=True, pass_fds=[listener.fileno()]
        )
        assert notified.recv(100) == b"READY=1"
        assert installed.ping()
        installed.end()
        assert notified.recv(100) == b"STOPPING=1"
    assert installed.socket.exists(), "it is systemd's to remove"


def test_records_that_somebody_could_have_written(installed: Installed) -> None:
    good = installed.record.read_text()
    elsewhere = installed.directory / "state" / "install.json"

    def spoil(how: str) -> None:
        installed.record.unlink()
        installed.record.write_text(good)
        if how == "writable":
            installed.record.chmod(0o664)
        elif how == "owner":
            os.chown(installed.record, OWNER, OWNER)
        elif how == "link":
            installed.record.rename(elsewhere)
            installed.record.symlink_to(elsewhere)
        elif how == "fifo":
            installed.record.unlink()
            os.mkfifo(installed.record)
        elif how == "nonsense":
            installed.record.write_text(good.replace(str(OWNER), "true"))
        else:
            os.chown(installed.directory, OWNER, OWNER)

    for how, says in {
        "writable": "is not a file that only root can write",
        "owner": "is not a file that only root can write",
        "fifo": "is not a file that only root can write",
        "link": "Too many levels of symbolic links",
        "nonsense": "owner_uid is not of type int",
        "directory": f"somebody other than root can write {installed.directory}",
    }.items():
        spoil(how)
        assert says in installed.said_at_start(), how
    assert not installed.socket.exists()


def test_a_runtime_directory_of_somebody_elses(installed: Installed) -> None:
    installed.socket.parent.mkdir()
    os.chown(installed.socket.parent, OWNER, OWNER)
    assert "is not a directory of ours alone" in installed.said_at_start()


def test_root_alone_starts_it(installed: Installed) -> None:
    _, said = installed.launch(user=OWNER, group=OWNER, extra_groups=[]).communicate(timeout=30)
    assert said == "bangerd-root: bangerd-root is root's\n"


def test_who_performs_operations(installed: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    state, record = str(installed.directory / "state"), str(installed.record)
    chosen = runner.choose(state, record=record)
    assert isinstance(chosen, Helper) and chosen.host.owner_uid == OWNER
    assert runner.choose("/another/state", record=record) is None
    alone = runner.choose(state, record="/nonexistent/install.json")
    assert isinstance(alone, runner.Local) and alone.host.state == state
    installed.record.chmod(0o666)
    with pytest.raises(errors.HelperUnavailable, match="only root can write"):
        runner.choose(state, record=record)
    installed.record.chmod(0o644)
    for uid, expected in ((OWNER, Helper), (OTHER, type(None))):
        monkeypatch.setattr(os, "geteuid", lambda uid=uid: uid)
        assert isinstance(runner.choose(state, record=record), expected)
        assert runner.choose(state, record="/nonexistent/install.json") is None
