"""banger on a production host, against Firecracker alone: one machine, ten at once, and what a machine costs.

The host is the box of the smoke tests (an emulated computer with KVM and one processor), so that absolute times say
little; the ratios compare the same kernel, initrd, root and agent on the same emulator. The bare monitor has no jail,
no limits and no snapshot: it writes to a copy of the root that was made before the clock started.
"""

import json
import os
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.smoke.host import stages
from tests.smoke.host.box import Host, running
from tests.smoke.machines import main_pid, show

from banger.system import units
from bench.measure import Finding, Place, Subject, compare, interleave

STOCKED = False
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
ROUNDS_OF_MANY = 2
MANY = 10
PYTHON = "/opt/banger/bin/python"
HERE = Path(__file__).resolve().parent / "host"
THERE = "/srv/bench"
JAILS = "/var/lib/banger-root/jails/firecracker"
MEMORY = ("--memory", "128M")


def measure(place: Place) -> list[Finding]:
    with running(print) as host:
        host.enter(stages.STOCKED)
        host.put(HERE, THERE)
        first, *others = [*one(host), *several(host)]
        return [first._replace(detail={**first.detail, "requests to the helper, ms": requests(host)}), *others]


def one(host: Host) -> list[Finding]:
    """`vm start` of a machine that has run before."""
    names = create(host, 1)
    describe(host, names[0])
    phases: list[Mapping[str, float]] = []

    def ours() -> float:
        told = starts(host, names)
        phases.append(told["phases"])
        return float(told["seconds"])

    subjects = {"bare": lambda: bare(host, 1), "banger": ours, "command": lambda: command(host, names[0])}
    times = interleave(ROUNDS, from_stopped(host, subjects))
    medians = {name: round(statistics.median(each[name] for each in phases[1:]), 3) for name in phases[0]}
    found = compare("vm start against a bare Firecracker", times, "banger", "bare", "at most", 1.8)
    by_command = compare("the same by the command, with Python's start", times, "command", "bare", "at most", 2.2)
    return [found._replace(detail={**found.detail, "phases": medians}), by_command]


def several(host: Host) -> list[Finding]:
    """Ten at once, and the memory that they cost."""
    names = [*host.banger("vm", "list", "--quiet").stdout.split(), *create(host, MANY - 1, first=1)]
    stop_all(host)
    before = resident(host)
    starts(host, names)
    costs = {unit: (after - before[unit]) / MANY for unit, after in resident(host).items()}
    memory = Finding(
        "resident memory of daemon, helper and holder for each running machine",
        sum(costs.values()),
        "at most",
        2,
        " MB",
        {unit: round(cost, 3) for unit, cost in costs.items()},
    )

    subjects = {"bare": lambda: bare(host, MANY), "banger": lambda: float(starts(host, names)["seconds"])}
    times = interleave(ROUNDS_OF_MANY, from_stopped(host, subjects), warm=False)
    found = compare("ten starts at once against ten bare Firecrackers", times, "banger", "bare", "at most", 2.2)
    return [found, memory]


def requests(host: Host) -> dict[str, float]:
    """What each operation of the helper's took in all of this, and all of them (p50), by its own log."""
    taken: dict[str, list[float]] = {}
    log = host.run(["journalctl", f"--unit={units.HELPER_SERVICE}", "--output=cat", "--no-pager"]).stdout
    for line in log.splitlines():
        if line.startswith("{") and (told := json.loads(line)).get("outcome") == "done":
            taken.setdefault(told["operation"], []).append(told["ms"])
    every = [each for several in taken.values() for each in several]
    return {"all": statistics.median(every)} | {name: statistics.median(taken[name]) for name in sorted(taken)}


def create(host: Host, count: int, first: int = 0) -> list[str]:
    names = [f"m{first + number}" for number in range(count)]
    for name in names:
        host.banger("run", "--detach", "--name", name, "--image", "busybox", *MEMORY, timeout=180)
    return names


def from_stopped(host: Host, subjects: Mapping[str, Subject]) -> dict[str, Subject]:
    """The subjects, each begun while no machine runs."""

    def of(subject: Subject) -> Subject:
        def stopped() -> float:
            stop_all(host)
            return subject()

        return stopped

    return {name: of(subject) for name, subject in subjects.items()}


def stop_all(host: Host) -> None:
    listed = json.loads(host.banger("vm", "list", "--json").stdout)["vms"]
    if names := [each["name"] for each in listed if each["state"] == "running"]:
        host.banger("vm", "stop", *names, timeout=300)


def describe(host: Host, name: str) -> None:
    """What `bare` boots: the configuration and files of a machine in its second life, when its root is as it stays."""
    host.banger("vm", "restart", name, timeout=200)
    host.banger("exec", name, "--", "sync")
    vm = show(host, name)["id"]
    jail = f"{JAILS}/{vm}/root"
    told = host.run(["curl", "-sf", "--unix-socket", f"{jail}/run/api.sock", "http://localhost/vm/config"]).stdout
    host.run(f"cp {jail}/vmlinux {jail}/initrd {jail}/modules {THERE}/")
    for disk in ("root", "work"):
        host.run(f"e2image -ra {jail}/{disk} {THERE}/{disk}", timeout=300)
        host.run(["e2fsck", "-fy", f"{THERE}/{disk}"], check=False)
    host.run(["tee", f"{THERE}/machine.json"], stdin=told.encode())


def bare(host: Host, count: int) -> float:
    found: float = json.loads(host.run([PYTHON, f"{THERE}/bare.py", THERE, str(count)], timeout=500).stdout)
    return found


def starts(host: Host, names: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        host.run([PYTHON, f"{THERE}/starts.py", *names], user="owner", timeout=500).stdout
    )
    return found


def command(host: Host, name: str) -> float:
    """``banger vm start``, timed in the box."""
    line = f"TIMEFORMAT=%R; time banger vm start {name} >/dev/null 2>&1"
    return float(host.run(line, user="owner", timeout=180).stderr)


def resident(host: Host) -> dict[str, float]:
    """Each service's main process, in MB."""
    found = {}
    for unit in (units.DAEMON_SERVICE, units.HELPER_SERVICE, units.MACHINES):
        line = host.run(["grep", "VmRSS", f"/proc/{main_pid(host, unit)}/status"]).stdout
        found[unit] = int(line.split()[1]) * 1024 / 1e6
    return found
