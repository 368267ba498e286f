"""``vm stop`` against the guest's own sync and power-off."""

import os
import select

from bench.guests import machine, show
from bench.measure import Finding, Place, compare, interleave, timed

ROUNDS = 3
BOOTED = (
    "until systemctl is-system-running --quiet --wait || systemctl is-system-running | grep -q degraded; "
    "do sleep 1; done"
)
"""The agent answers before systemd can be asked anything; --wait alone ends at once then."""


def measure(place: Place) -> list[Finding]:
    home = place.home
    with machine(home) as name:

        def start() -> int:
            if show(home, name)["state"] != "running":
                home.banger("vm", "start", name, timeout=300, check=True)
            home.banger("exec", name, "--", "sh", "-c", BOOTED, timeout=300, check=True)
            return os.pidfd_open(int(str(show(home, name)["pid"])))

        def by_guest() -> float:
            watch = start()
            try:

                def power_off() -> None:
                    home.banger("exec", "-d", name, "--", "sh", "-c", "sync; systemctl poweroff")
                    select.select([watch], [], [], 300)

                return timed(power_off)
            finally:
                os.close(watch)

        def by_banger() -> float:
            os.close(start())
            return timed(lambda: home.banger("vm", "stop", name, timeout=300, check=True))

        times = interleave(ROUNDS, {"guest": by_guest, "banger": by_banger}, warm=False)
    return [compare("vm stop against the guest's own power-off", times, "banger", "guest", "at most", 1.5)]
