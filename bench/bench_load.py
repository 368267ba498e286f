"""Fifty creates at once against one after another, and a list in the middle of them.

The driver is the fake one, whose own launch takes a tenth of a second; everything else is the daemon's work and that of
the programs that stand in machines' places. A create counts from its request to its machine's first answer.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from tests.fakes import prepare, request
from tests.home import Home

from bench.measure import Finding, Place, compare, median

STOCKED = False
DELAY = 0.1
AT_ONCE, IN_TURN, ROUNDS = 50, 10, 5
PAUSE = 0.002
"""Between two lists: a client that watches, not one that is a load itself."""


def measure(place: Place) -> list[Finding]:
    home = place.home
    prepare(home, DELAY, quick=True)
    times: dict[str, list[float]] = {"in turn": [], "at once": []}
    lists: dict[str, list[float]] = {"idle": [], "under load": []}
    for number in range(ROUNDS + 1):
        with _listed(home) as idle:
            time.sleep(1.5)
        turn = _created(home, IN_TURN, _in_turn) / IN_TURN
        with _listed(home) as loaded:
            once = _created(home, AT_ONCE, _at_once) / AT_ONCE
        if number:  # the first round warms the daemon up
            times["in turn"].append(turn)
            times["at once"].append(once)
            lists["idle"].append(_percentile(idle))
            lists["under load"].append(_percentile(loaded))
    detail = {"milliseconds": {name: round(median(each) * 1000, 1) for name, each in lists.items()}}
    return [
        compare("creates at once", times, "in turn", "at once", "at least", 4),
        Finding(
            "a list under that load, the slowest of a hundred",
            median(lists["under load"]) / median(lists["idle"]), "at most", 20, " times", detail,
        ),
    ]  # fmt: skip


def _created(home: Home, count: int, create: Callable[[Home, list[str]], None]) -> float:
    """The seconds of so many creates; the machines are deleted afterwards."""
    from banger.sdk.client import Client

    names = [f"load-{number}" for number in range(count)]
    begun = time.perf_counter()
    create(home, names)
    seconds = time.perf_counter() - begun
    with Client(home.paths.socket) as client:
        for operation in [client.vm_delete(name) for name in names]:
            client.wait(operation)
    return seconds


def _in_turn(home: Home, names: list[str]) -> None:
    from banger.sdk.client import Client

    with Client(home.paths.socket) as client:
        for name in names:
            client.wait(client.vm_create(request(name)))


def _at_once(home: Home, names: list[str]) -> None:
    from banger.sdk.client import Client

    with Client(home.paths.socket) as client:
        for operation in [client.vm_create(request(name)) for name in names]:
            client.wait(operation)


@contextmanager
def _listed(home: Home) -> Iterator[list[float]]:
    """How long each of the lists took that were asked for while the block ran."""
    from banger.api import routes
    from banger.sdk.client import Client

    seconds: list[float] = []
    over = Event()

    def ask() -> None:
        with Client(home.paths.socket) as client:
            while not over.is_set():
                begun = time.perf_counter()
                client.open(routes.VM_LIST).read()
                seconds.append(time.perf_counter() - begun)
                time.sleep(PAUSE)

    asking = Thread(target=ask)
    asking.start()
    try:
        yield seconds
    finally:
        over.set()
        asking.join()


def _percentile(values: list[float], part: float = 0.99) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]
