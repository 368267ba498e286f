"""The host's clock jumps by years while a machine runs."""

import json
from collections.abc import Iterator

import pytest

from tests.smoke.host.box import Host
from tests.smoke.machines import boot_id, show

YEARS = 3 * 365 * 86_400
SET = "import sys, time; time.clock_settime(time.CLOCK_REALTIME, time.time() + float(sys.argv[1]))"


def jump(host: Host, seconds: int) -> None:
    """Set the clock ahead, or back."""
    host.run(["python3", "-c", SET, str(seconds)])


@pytest.fixture
def clock(serving: Host) -> Iterator[Host]:
    """The box, whose clock is right again in the end."""
    moments = "import time; print(time.time() - time.monotonic())"
    right = float(serving.run(["python3", "-c", moments]).stdout)
    yield serving
    serving.run(["python3", "-c", f"import time; time.clock_settime(time.CLOCK_REALTIME, {right} + time.monotonic())"])


@pytest.mark.parametrize("years", [YEARS, -YEARS], ids=["ahead", "back"])
def test_a_machine_does_not_mind(clock: Host, years: int) -> None:
    boot, pid = boot_id(clock, "one"), show(clock, "one")["pid"]
    up = health(clock)["uptime"]
    jump(clock, years)
    assert boot_id(clock, "one") == boot and show(clock, "one")["pid"] == pid
    assert up <= health(clock)["uptime"] < up + 600
    assert "one" in clock.banger("vm", "list").stdout
    clock.banger("vm", "stop", "one", timeout=90)
    clock.banger("vm", "start", "one", timeout=150)
    assert boot_id(clock, "one") != boot
    after = health(clock)
    assert after["uptime"] < 600 and abs(after["clock_offset"]) < 60, "a guest starts with its host's clock"


def health(host: Host) -> dict[str, float]:
    """The numbers of ``banger vm health``."""
    found: dict[str, float] = json.loads(host.banger("vm", "health", "one", "--json").stdout)
    return found
