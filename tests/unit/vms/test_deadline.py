"""Deadlines, whatever clocks do."""

import msgspec

from banger.vms.deadline import HOST, Deadline


class FakeClock:
    def __init__(self) -> None:
        self.now = 1000.0
        self.epoch = 5_000_000.0
        self.which = "one"

    def boot(self) -> str:
        return self.which

    def since_boot(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.epoch + self.now


def test_time_passes() -> None:
    clock = FakeClock()
    deadline = Deadline.after(60, clock)
    assert deadline.left(clock) == 60
    clock.now += 61
    assert deadline.left(clock) == -1


def test_a_wall_clock_that_is_set_changes_nothing() -> None:
    clock = FakeClock()
    deadline = Deadline.after(60, clock)
    for jump in (10**8, -2 * 10**8):
        clock.epoch += jump
        assert deadline.left(clock) == 60
        assert deadline.shown(clock) == clock.wall() + 60, "in the words of today's clock"


def test_after_a_reboot_the_wall_clock_counts() -> None:
    clock = FakeClock()
    deadline = msgspec.json.decode(msgspec.json.encode(Deadline.after(60, clock)), type=Deadline)
    clock.which, clock.epoch, clock.now = "two", clock.wall() + 50, 0.0
    assert deadline.left(clock) == 10
    clock.now += 11
    assert deadline.left(clock) < 0


def test_what_is_shown_does_not_tremble() -> None:
    clock = FakeClock()
    deadline = Deadline.after(60, clock)
    clock.now += 7
    clock.epoch += 0.01
    assert deadline.shown(clock) == deadline.wall


def test_the_host_has_such_clocks() -> None:
    assert len(HOST.boot()) == 36
    assert HOST.since_boot() <= HOST.since_boot()
    assert 9 < Deadline.after(10).left() <= 10
