"""What the worst cases share: an installation with the stock's kernel and image, and guests in a real registry.

Machines are dear under emulation, so a module boots few and its tests share them. Where the guest is to be hostile
beyond what a real one can be made to do, the fake driver gives the agent's port to a program of the test's.
"""

import contextlib
import json
import os
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import leaks, stock
from tests.home import Home, make_home, passable

PATIENCE = 120.0
SMALL = ("--memory", "256M")


@contextlib.contextmanager
def stocked_room(directory: Path, settings: str = "") -> Iterator[Home]:
    """An installation with kernel and image, and what belongs in its configuration."""
    with passable(directory) as reachable, make_home(reachable) as home:
        stock.give(home)
        if settings:
            os.makedirs(home.paths.config)
            Path(home.paths.config, "config.toml").write_text(settings)
        yield home


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """One for a module; its daemon has been started."""
    with stocked_room(tmp_path_factory.mktemp("room")) as home:
        home.banger("ps", check=True)
        yield home


@contextlib.contextmanager
def started(home: Home, *arguments: str, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A client that has begun; it does not outlive the block, also when the block fails."""
    with home.start(*arguments, **options) as client:
        try:
            yield client
        finally:
            client.kill()


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for what comes about by itself."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"it did not come about: {what}"
        time.sleep(0.1)


def show(home: Home, name: str) -> dict[str, object]:
    found = json.loads(home.banger("vm", "show", name, "--json", check=True).stdout)
    assert isinstance(found, dict)
    return found


def names(home: Home) -> list[str]:
    return home.banger("ps", "-q", check=True).stdout.split()


def daemon_pid(home: Home) -> int:
    found = json.loads(home.banger("daemon", "status", "--json", check=True).stdout)
    assert isinstance(found["pid"], int)
    return found["pid"]


def allow_daemon(home: Home) -> None:
    """A daemon that a test started in place of the module's outlives that test."""
    leaks.allow(daemon_pid(home))


def memory(pid: int, line: str = "VmHWM") -> int:
    """Bytes of a process's memory: resident now (VmRSS), or at most so far (VmHWM)."""
    for each in Path(f"/proc/{pid}/status").read_text().splitlines():
        if each.startswith(f"{line}:"):
            return int(each.split()[1]) << 10
    raise AssertionError(f"no {line} of process {pid}")


def record_count(home: Home, table: str) -> int:
    """Rows of a table of the store, whatever the verbs show of them."""
    with contextlib.closing(sqlite3.connect(f"file:{home.paths.database}?mode=ro", uri=True)) as database:
        return int(database.execute(f"select count(*) from {table}").fetchone()[0])  # noqa: S608
