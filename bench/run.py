"""Run benches and write what they found: ``python -m bench.run [NAME...]``, or ``make bench BENCH="NAME ..."``.

Each bench is a module ``bench_NAME`` with a function ``measure(place)`` that returns findings; one that needs neither
the default kernel nor the default image says ``STOCKED = False``. They are printed, and written to
``bench/results/NAME.json`` with the machine that they hold for. The status is 1 when a promise was not kept. A bench of
which a part can be measured alone has a function ``part(name)``, the part that a finding of that name is of; findings
of other parts stay in the file as ``earlier``, with the machine of their own run.
"""

import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
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
        write(RESULTS / f"{name}.json", findings, getattr(importlib.import_module(f"bench.bench_{name}"), "part", None))
    return 0 if kept else 1


def write(path: Path, findings: Sequence[Finding], part: Callable[[str], str] | None) -> None:
    """Put findings down; of an earlier run those of parts that were not measured now stay."""
    rows = [{**each._asdict(), "kept": each.kept} for each in findings]
    document: dict[str, object] = {"machine": machine(), "findings": rows}
    if part is not None and path.exists():
        measured = {part(each.name) for each in findings}
        older = json.loads(path.read_text())
        runs = [
            {
                "machine": run["machine"],
                "findings": [row for row in run["findings"] if part(row["name"]) not in measured],
            }
            for run in (older, *older.get("earlier", []))
        ]
        document["earlier"] = [run for run in runs if run["findings"]]
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
