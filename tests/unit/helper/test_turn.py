"""Turns: held by one at a time, freed by whatever ends their holder."""

import os
import threading
from pathlib import Path

import pytest

from banger.helper import turn
from banger.helper.host import Host
from banger.helper.operation import Failed
from banger.helper.ping import Ping


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(owner_uid=os.getuid(), owner_gid=os.getgid(), runtime=str(tmp_path / "run"))


def test_one_at_a_time(host: Host) -> None:
    order: list[str] = []
    held, waiting = threading.Event(), threading.Event()

    def second() -> None:
        held.wait()
        waiting.set()
        with turn.taken("disk 1", host):
            order.append("second")

    other = threading.Thread(target=second)
    other.start()
    with turn.taken("disk 1", host):
        held.set()
        waiting.wait()
        with turn.taken("disk 2", host), turn.taken("", host):
            order.append("first")
    other.join()
    assert order == ["first", "second"]


def test_a_turn_that_does_not_come(host: Host) -> None:
    with (
        turn.taken("disk 1", host),
        pytest.raises(Failed, match="another operation holds 'disk 1'") as failed,
        turn.taken("disk 1", host, patience=0.01),
    ):
        raise AssertionError("two have it")
    assert failed.value.busy
    with turn.taken("disk 1", host, patience=0.01):
        pass


def test_the_files_are_ours_and_bounded(host: Host) -> None:
    for number in range(50):
        with turn.taken(f"../../disk {number}\n", host):
            pass
    directory = Path(host.runtime, "turns")
    assert directory.stat().st_mode & 0o777 == 0o700
    assert all(len(each.name) == 3 and each.stat().st_size == 0 for each in directory.iterdir())


def test_operations_of_one_noun_take_turns_unless_they_say_otherwise() -> None:
    assert Ping().turn() == ""
    assert super(Ping, Ping()).turn() == "helper"
