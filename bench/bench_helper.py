"""The root helper: what a request costs, and its start, against a Python that does nothing."""

import asyncio
import subprocess

from tests.installed_helper import Installed, installed_helper

from banger.helper import host
from banger.helper.ping import Ping
from banger.privileged.client import Helper
from bench.measure import Finding, Place, compare, interleave, program, timed

STOCKED = False
ROUNDS = 15
REQUESTS = 20
"""In one round, so that each is as long as the rest of it."""
NOTHING = program(["/usr/bin/python3", "-IS", "-c", "pass"])


def measure(place: Place) -> list[Finding]:
    """Needs root. A request is a process of the helper's; the alternative without a helper is a program for each."""
    with installed_helper() as installed:
        starts = interleave(ROUNDS, {"start": lambda: started(installed), "python": NOTHING})
        installed.start(log=subprocess.DEVNULL)
        helper = Helper(str(installed.socket), host.load(str(installed.record)))
        requests = interleave(ROUNDS, {"request": lambda: asked(helper), "python": NOTHING})
    return [
        compare("the helper's start to its first answer", starts, "start", "python", "at most", 25),
        compare("a request that does nothing", requests, "request", "python", "at most", 0.5),
    ]


def started(installed: Installed) -> float:
    """From its start to its first answer."""

    def start() -> None:
        installed.start(log=subprocess.DEVNULL)
        installed.ping()

    seconds = timed(start)
    assert installed.process is not None
    installed.process.kill()
    installed.process.wait()
    return seconds


def asked(helper: Helper) -> float:
    async def several() -> None:
        for _ in range(REQUESTS):
            await helper.perform(Ping())

    return timed(lambda: asyncio.run(several())) / REQUESTS
