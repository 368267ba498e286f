"""How many may come at once, and how many a second."""

import time

import pytest

from banger.helper.server import Bucket


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


def test_a_burst_and_then_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    bucket = Bucket(rate=10, burst=3)
    for _ in range(3):
        assert bucket.wait() == 0
        bucket.take()
    assert bucket.wait() == pytest.approx(0.1)
    clock.now += 0.05
    assert bucket.wait() == pytest.approx(0.05)
    clock.now += 0.051
    assert bucket.wait() == 0
    bucket.take()
    assert bucket.wait() > 0


def test_a_quiet_time_gives_no_more_than_a_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    bucket = Bucket(rate=10, burst=3)
    clock.now += 3600
    came = 0
    while bucket.wait() == 0:
        bucket.take()
        came += 1
    assert came == 3
