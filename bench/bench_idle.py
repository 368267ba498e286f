"""What an idle daemon takes, what records add to it, and whether a list stays quick with many of them."""

import time
from pathlib import Path

from tests.home import Home, make_home
from tests.stock import give

from bench.measure import Finding, Place, Subject, compare, daemon_pid, interleave, memory

ROUNDS = 9


def measure(place: Place) -> list[Finding]:
    from banger.api.vm import CreateVm
    from banger.sdk.client import Client

    home = place.home
    home.banger("daemon", "start", check=True)
    home.banger("vm", "list", check=True)
    pid = daemon_pid(home)
    idle = memory(pid)
    sizes: dict[int, float] = {}
    with Client(home.paths.socket) as client:
        for number in range(1, 1001):
            client.wait(client.vm_create(CreateVm(name=f"record-{number}", start=False)))
            if number in (1, 100, 1000):
                home.banger("vm", "list", check=True)
                sizes[number] = memory(pid)
    times = lists(home, place.scratch / "few")
    return [
        Finding("an idle daemon", idle, "at most", 60, " MB"),
        Finding("what 100 records add", sizes[100] - sizes[1], "at most", 5, " MB", {"sizes": sizes}),
        compare("listing 1,000 records against 1", times, "many", "one", "at most", 1.5),
    ]


def lists(many: Home, directory: Path) -> dict[str, list[float]]:
    """Times of a list in the installation with many records, and in another that has one."""
    directory.mkdir()
    with make_home(directory) as one:
        give(one)
        one.banger("vm", "create", "--no-start", "--name", "record-1", check=True)
        return interleave(ROUNDS, {"one": listing(one, 1), "many": listing(many, 1000)})


def listing(home: Home, records: int) -> Subject:
    """The list of an installation with that many machines."""

    def subject() -> float:
        begun = time.perf_counter()
        listed = home.banger("vm", "list", check=True)
        seconds = time.perf_counter() - begun
        assert len(listed.stdout.splitlines()) == records + 1
        return seconds

    return subject
