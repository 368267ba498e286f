"""Rows about banger itself."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

import banger
from banger import errors, proc
from banger.admission.judgement import Facts, Limits, Machine
from banger.config.sizes import GIB, MIB
from banger.daemon.checks import own
from banger.paths import Paths
from banger.ssh import including
from banger.store.database import Database
from tests.unit.daemon.test_checks import RECORD


def test_architecture() -> None:
    assert own.architecture("x86_64") == ("pass", "x86_64", "")
    status, detail, mend = own.architecture("aarch64")
    assert status == "fail" and "aarch64" in detail and mend


def test_the_daemon_is_the_one_that_was_installed() -> None:
    assert own.version(None)[0] == "pass"
    status, detail, mend = own.version(RECORD)
    assert (status, mend) == ("warn", "sudo banger system restart")
    assert str(banger.__version__) in detail and "1 is installed" in detail


def test_ssh_reaches_machines_once_the_users_own_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = Paths(*(str(tmp_path / name) for name in ("config", "state", "cache", "runtime")))
    users = tmp_path / "home" / ".ssh" / "config"
    monkeypatch.setattr(including, "users_file", lambda: str(users))
    monkeypatch.setattr(proc, "find", lambda tool: f"/usr/bin/{tool}")
    status, detail, mend = own.ssh(paths)
    assert (status, mend) == ("warn", "banger ssh-config --install") and "'banger ssh' works" in detail
    including.change(str(users), f'Include "{paths.ssh_config}"')
    assert own.ssh(paths)[0] == "pass"
    including.change(str(users), 'Include "/another/installation"')
    assert own.ssh(paths)[0] == "warn"

    def missing(tool: str) -> str:
        raise errors.ToolMissing(tool=tool, package=proc.PACKAGES[tool])

    monkeypatch.setattr(proc, "find", missing)
    status, detail, mend = own.ssh(paths)
    assert status == "warn" and "'banger ssh' does not work" in detail and "openssh-client" in mend


def test_guest_agent(tmp_path: Path) -> None:
    agent = tmp_path / "agent"
    assert own.guest_agent(str(agent))[0] == "fail"
    agent.write_bytes(b"#!/bin/sh")
    assert own.guest_agent(str(agent))[0] == "fail"
    agent.write_bytes(b"\x7fELF\x02\x01")
    assert own.guest_agent(str(agent))[0] == "pass"


def test_a_store_is_looked_at_and_not_made(tmp_path: Path) -> None:
    path = tmp_path / "banger.db"
    assert own.store(str(path))[0] == "pass" and not path.exists()
    Database(str(path)).close()
    assert own.store(str(path))[0] == "pass"
    path.write_bytes(b"no database " * 1000)
    status, detail, mend = own.store(str(path))
    assert status == "fail" and detail and mend


def test_a_store_that_is_damaged_inside(tmp_path: Path) -> None:
    path = tmp_path / "banger.db"
    database = Database(str(path))
    database.execute("CREATE TABLE filling (text)")
    database.execute_many("INSERT INTO filling VALUES (?)", [("x" * 3000,) for _ in range(100)])
    database.close()
    with sqlite3.connect(path) as whole:
        whole.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    data[-200 * 1024 : -4096] = b"\xff" * (200 * 1024 - 4096)
    path.write_bytes(data)
    assert own.store(str(path))[0] == "fail"


@pytest.mark.parametrize(
    ("changed", "limits", "status", "word"),
    [
        ({}, Limits(), "pass", "1 machine; those that run may use 1 GiB of memory, 6 GiB are available"),
        ({}, Limits(machines=5), "pass", "1 machine of 5"),
        ({"available": None, "memory": None}, Limits(), "pass", "may use 1 GiB of memory; all may still"),
        ({"free": 4 * GIB}, Limits(), "pass", "may still write 8 GiB, 4 GiB are free"),
        ({"free": 256 * MIB}, Limits(), "warn", "512 MiB are kept in reserve: nothing new can be made"),
        ({"memory": GIB // 2}, Limits(), "warn", "the host has 512 MiB of memory in all"),
        ({"free": -1}, Limits(reserve=0), "warn", "0 B are free"),
    ],
)
def test_promises(changed: dict[str, Any], limits: Limits, status: str, word: str) -> None:
    one = Machine("1", "one", GIB, running=True, virtual=8 * GIB)
    facts = Facts("/state", 100 * GIB, 50 * GIB, 8 * GIB, 6 * GIB, [one])._replace(**changed)
    found = own.promises(facts, limits)
    assert found[0] == status and word in found[1], found[1]
    assert bool(found[2]) == (status != "pass")
