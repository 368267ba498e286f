"""Run benches and write what they found: ``python -m bench.run [NAME...]``, or ``make bench BENCH="NAME ..."``.

Each bench is a module ``bench_NAME`` with a function ``measure(place)`` that returns findings; one that needs neither
the default kernel nor the default image says ``STOCKED = False``. They are printed, and written to
``bench/results/NAME.json`` with the machine that they hold for. The status is 1 when a promise was not kept.
"""

import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.home import make_home, passable
from tests.stock import give

from bench.measure import Finding, Place

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


def names() -> list[str]:
    return sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))


def machine() -> dict[str, object]:
    """What the figures hold for."""
    processor = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    qemu = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor[0] if processor else platform.machine(),
        "processors": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "qemu": qemu.splitlines()[0],
        "load": os.getloadavg()[0],
    }


def measure(name: str) -> list[Finding]:
    """One bench in an installation of its own."""
    bench = importlib.import_module(f"bench.bench_{name}")
    with (
        tempfile.TemporaryDirectory(prefix="banger-bench-") as scratch,
        passable(Path(scratch)) as directory,
        make_home(directory) as home,
    ):
        if getattr(bench, "STOCKED", True):
            give(home)
        findings: list[Finding] = bench.measure(Place(home, directory))
        return findings


def main(arguments: Sequence[str]) -> int:
    unknown = set(arguments) - set(names())
    if unknown:
        print(f"bench: no such bench: {' '.join(sorted(unknown))}; there are: {' '.join(names())}", file=sys.stderr)
        return 2
    kept = True
    for name in arguments or names():
        print(f"-- {name}", flush=True)
        findings = measure(name)
        for finding in findings:
            print(finding.line(), dict(finding.detail) or "", flush=True)
            kept = kept and finding.kept
        RESULTS.mkdir(exist_ok=True)
        document = {"machine": machine(), "findings": [{**each._asdict(), "kept": each.kept} for each in findings]}
        (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
