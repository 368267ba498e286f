"""Copying into and out of a machine, against scp into the same machine; and the memory that a large copy takes."""

import os
import resource
from pathlib import Path

from tests.home import BANGER, Home

from bench.guests import Ssh, machine
from bench.measure import Finding, Place, compare, daemon_pid, forget_peak, interleave, memory, program

ROUNDS = 3
SIZE_MIB = 64
"""For the comparison: scp into an emulated guest is slow."""

LARGE_MIB = 1024
"""For the memory."""


def random_file(path: Path, mib: int) -> Path:
    """A file that no compression helps with."""
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(1 << 20))
    return path


def measure(place: Place) -> list[Finding]:
    home, scratch = place.home, place.scratch
    source = random_file(scratch / "small", SIZE_MIB)
    with machine(home) as name:
        ssh = Ssh(home, name, scratch)
        banger = [*BANGER, "cp"]
        into = interleave(
            ROUNDS,
            {
                "scp": program(ssh.copy(str(source), ":/root/by-scp")),
                "banger": program([*banger, str(source), f"{name}:/root/"], home.env),
            },
        )
        out = interleave(
            ROUNDS,
            {
                "scp": program(ssh.copy(":/root/small", str(scratch / "by-scp"))),
                "banger": program([*banger, f"{name}:/root/small", str(scratch / "back")], home.env),
            },
        )
        home.banger("exec", name, "--", "rm", "/root/small", "/root/by-scp", check=True)
        grown = large_copy(home, name, scratch)
    return [
        compare("scp in against banger cp in", into, "scp", "banger", "at least", 2),
        compare("scp out against banger cp out", out, "scp", "banger", "at least", 2),
        *grown,
    ]


def large_copy(home: Home, name: str, scratch: Path) -> list[Finding]:
    """Memory of the daemon and of the command while a large file goes in and out."""
    source = random_file(scratch / "large", LARGE_MIB)
    pid = daemon_pid(home)
    before = memory(pid)
    forget_peak(pid)
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    home.banger("cp", str(source), f"{name}:/root/", timeout=1800, check=True)
    home.banger("cp", f"{name}:/root/large", str(scratch / "large-back"), timeout=1800, check=True)
    command = max(children, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024 / 1e6
    detail = {"mib": LARGE_MIB, "before": before}
    return [
        Finding("more memory of the daemon", memory(pid, "VmHWM") - before, "at most", 64, " MB", detail),
        Finding("memory of the command", command, "at most", 64, " MB"),
    ]
