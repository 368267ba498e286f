"""What the host's ssh goes by."""

import os
import stat
import sys
from pathlib import Path

import pytest

from banger import errors
from banger.config.settings import build
from banger.paths import Paths
from banger.ssh import client

SETTINGS = build({}, {})


def paths(state: str) -> Paths:
    return Paths(config="/c", state=state, cache="/k", runtime="/r")


def test_only_machines_are_meant_and_only_known_keys_believed() -> None:
    text = client.configuration(paths("/state"), SETTINGS, {})
    lines = [line.split(None, 1) for line in text.splitlines() if not line.startswith("#")]
    assert lines[0] == ["Host", "*.vm"] and sum(word == "Host" for word, _ in lines) == 1
    said = {word: value.strip() for word, value in lines}
    assert (
        said["IdentityFile"] == '"/state/ssh/id_ed25519"' and said["UserKnownHostsFile"] == '"/state/ssh/known_hosts"'
    )
    assert said["StrictHostKeyChecking"] == "yes" and said["GlobalKnownHostsFile"] == "/dev/null"
    assert said["ProxyCommand"].endswith(" internal ssh-proxy %h")


def test_which_installation_it_is_is_said() -> None:
    moved = {"BANGER_STATE_DIR": "/a b/100%", "BANGER_RUNTIME_DIR": "", "PYTHONPATH": "/src", "HOME": "/home/me"}
    proxy = client.configuration(paths("/state"), SETTINGS, moved).partition("ProxyCommand ")[2].splitlines()[0]
    assert proxy.startswith("env 'BANGER_STATE_DIR=/a b/100%%' PYTHONPATH=/src ")
    assert proxy.endswith("-P -m banger.cli internal ssh-proxy %h")


def test_an_installed_command_is_run_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    (tmp_path / "banger").touch(mode=0o755)
    assert f"    ProxyCommand {tmp_path}/banger internal ssh-proxy %h\n" in client.configuration(
        paths("/s"), SETTINGS, {}
    )


@pytest.mark.parametrize("state", ['/a"b', "/a\\b", "/50%", "/$HOME", "/a*", "/a\nb"])
def test_a_path_that_ssh_cannot_take_is_refused(state: str) -> None:
    with pytest.raises(errors.UnsafeDirectory, match="cannot name it"):
        client.configuration(paths(state), SETTINGS, {})


def test_files_are_private_and_written_when_they_differ(tmp_path: Path) -> None:
    mine = paths(str(tmp_path / "state"))
    client.write_known_hosts(mine, [("one", "ssh-ed25519 AAAA"), ("two", "ssh-ed25519 BBBB")])
    known = Path(mine.known_hosts)
    assert known.read_text() == "one.vm ssh-ed25519 AAAA\ntwo.vm ssh-ed25519 BBBB\n"
    assert stat.S_IMODE(known.stat().st_mode) == 0o600 and stat.S_IMODE(known.parent.stat().st_mode) == 0o700
    before = known.stat().st_ino
    client.write_known_hosts(mine, [("one", "ssh-ed25519 AAAA"), ("two", "ssh-ed25519 BBBB")])
    assert known.stat().st_ino == before
    client.write_known_hosts(mine, [])
    assert known.read_bytes() == b"" and os.listdir(known.parent) == ["known_hosts"]
    text = client.write_configuration(mine, SETTINGS)
    assert Path(mine.ssh_config).read_text() == text
