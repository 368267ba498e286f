"""Many lives of machines, some at a time, and what the daemon has grown by.

A cycle is a machine created, a command run in it, and the machine deleted. The first cycles do not count: the daemon
loads what it loads, and its table of ended changes fills to the number that is kept (`banger.store.operations.KEPT`).
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.home import Home

from bench.measure import Finding, memory

PARTS = 20
"""How often it is looked, on the way."""


class Held(NamedTuple):
    """What a daemon has at a moment: in its process, and on disk."""

    descriptors: int
    threads: int
    files: int
    database: int
    megabytes: float


def held(home: Home, pid: int) -> Held:
    """Counted once nothing is under way any more."""
    own = [Path(home.paths.state), Path(home.paths.cache), Path(home.paths.runtime)]
    files = sum(len(names) for each in own for _, _, names in os.walk(each))
    database = sum(os.path.getsize(home.paths.database + end) for end in ("", "-wal"))
    process = Path(f"/proc/{pid}")
    return Held(
        len(os.listdir(process / "fd")), len(os.listdir(process / "task")), files, database, round(memory(pid), 2)
    )


def soak(home: Home, pid: int, warm: int, cycles: int, image: str | None, workers: int) -> list[Finding]:
    """So many cycles after so many that do not count, ``workers`` at a time; findings of what has grown."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:

        def live(first: int, count: int) -> Held:
            list(pool.map(lambda number: _cycle(home, image, number), range(first, first + count)))
            now = _settled(home, pid)
            print(f"soak: {first + count - warm} cycles, {now}", flush=True)
            return now

        first = last = live(0, warm)
        part = max(1, cycles // PARTS)
        for done in range(0, cycles, part):
            last = live(warm + done, min(part, cycles - done))
    detail = {
        "cycles": cycles,
        "seconds": round(time.perf_counter() - begun),
        "first": first._asdict(),
        "last": last._asdict(),
    }
    return [
        Finding("more descriptors", last.descriptors - first.descriptors, "at most", 0),
        Finding("more threads", last.threads - first.threads, "at most", 0),
        Finding("more files", last.files - first.files, "at most", 0),
        Finding("a larger database", last.database / first.database, "at most", 1.1, " times"),
        Finding("more memory", last.megabytes / first.megabytes, "at most", 1.05, " times", detail),
    ]


def _settled(home: Home, pid: int) -> Held:
    """What is held once connections that were left, and threads of the pool, are at rest."""
    time.sleep(0.5)
    return held(home, pid)


def _cycle(home: Home, image: str | None, number: int) -> None:
    from banger.api.vm import CreateVm
    from banger.sdk.client import Client
    from banger.sdk.sandbox import Sandbox

    name = f"soak-{number}"
    with Client(home.paths.socket) as client:
        client.wait(client.vm_create(CreateVm(name=name, image=image, memory=256 << 20)))
        with Sandbox.existing(name, client=client) as box:
            assert box.exec(["/bin/echo", "here"]).stdout == b"here\n"
        client.wait(client.vm_delete(name))
