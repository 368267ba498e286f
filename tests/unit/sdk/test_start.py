"""The daemon of a system installation is waited for while systemd is about to start it, and never started from here."""

import time
from collections.abc import Iterator, Sequence

import pytest

from banger import errors, proc
from banger.paths import Paths
from banger.sdk import start

PATHS = Paths(config="/c", state="/s", cache="/k", runtime="/nowhere/banger", owner=1000)

AT_BOOT = ["ActiveState=inactive\nJob=57\n", "ActiveState=activating\n", "ActiveState=active\n"]


class Systemd:
    """What systemd says of the unit, time after time; the daemon answers once it is active."""

    def __init__(self, says: Sequence[str]) -> None:
        self._says = iter(says)
        self.now = ""
        self.asked = 0

    def ask(self, argv: Sequence[str], *, timeout: float) -> str:
        assert "bangerd.service" in argv
        self.asked += 1
        self.now = next(self._says, self.now)
        return self.now

    def answers(self, socket: str, patience: float) -> bool:
        return "ActiveState=active\n" in self.now


@pytest.fixture
def systemd(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    made = Systemd(request.param)
    monkeypatch.setattr(proc, "ask", made.ask)
    monkeypatch.setattr(start, "answers", made.answers)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    yield made


@pytest.mark.parametrize("systemd", [AT_BOOT], indirect=True)
def test_one_that_is_being_started_is_waited_for(systemd: Systemd) -> None:
    start.ensure(PATHS)
    assert systemd.asked == len(AT_BOOT)


@pytest.mark.parametrize("systemd", [["ActiveState=inactive\n"], ["ActiveState=failed\n"], [""]], indirect=True)
def test_one_that_nobody_starts_is_not_running(systemd: Systemd) -> None:
    with pytest.raises(errors.DaemonUnreachable, match="the service is not running"):
        start.ensure(PATHS)
    assert systemd.asked == 1


@pytest.mark.parametrize("systemd", [["ActiveState=activating\n"]], indirect=True)
def test_the_wait_has_an_end(systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "SERVICE_PATIENCE", 0.0)
    with pytest.raises(errors.DaemonUnreachable, match="did not answer within"):
        start.ensure(PATHS)


def test_a_host_without_systemd_starts_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(argv: Sequence[str], *, timeout: float) -> str:
        raise errors.ToolMissing(tool="systemctl", package="systemd")

    monkeypatch.setattr(proc, "ask", missing)
    with pytest.raises(errors.DaemonUnreachable, match="the service is not running"):
        start.ensure(PATHS)
