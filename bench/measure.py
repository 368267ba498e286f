"""What the benches share: interleaved rounds, medians, findings with their limits.

A figure is a ratio of two things measured in one run. The rounds alternate between them, so that whatever else the
machine does meets both; the median drops what met only one.
"""

import json
import shlex
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from tests.home import Home

Subject = Callable[[], float]
"""Does the thing once; the seconds it took."""


class Finding(NamedTuple):
    """One figure: what was measured, and what was promised of it."""

    name: str
    value: float
    relation: Literal["at most", "at least"]
    limit: float
    unit: str = ""
    detail: Mapping[str, object] = {}

    @property
    def kept(self) -> bool:
        return self.value <= self.limit if self.relation == "at most" else self.value >= self.limit

    def line(self) -> str:
        verdict = "kept" if self.kept else "NOT KEPT"
        return f"{verdict:<9}{self.name}: {self.value:.3g}{self.unit} ({self.relation} {self.limit:g}{self.unit})"


class Place(NamedTuple):
    """What a bench gets: an installation with the default kernel and image, and a directory for its own files."""

    home: Home
    scratch: Path


def interleave(rounds: int, subjects: Mapping[str, Subject], *, warm: bool = True) -> dict[str, list[float]]:
    """Each subject's times over ``rounds`` rounds, in turn; with ``warm`` one round before does not count."""
    times: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(rounds + warm):
        for name, subject in subjects.items():
            seconds = subject()
            if number >= warm:
                times[name].append(seconds)
    return times


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def ratio(times: Mapping[str, Sequence[float]], above: str, below: str) -> float:
    """The quotient of two medians."""
    return median(times[above]) / median(times[below])


def compare(
    name: str,
    times: Mapping[str, Sequence[float]],
    above: str,
    below: str,
    relation: Literal["at most", "at least"],
    limit: float,
) -> Finding:
    """The finding that ``above`` takes ``limit`` times as long as ``below``, at most or at least."""
    medians = {each: round(median(times[each]), 4) for each in (above, below)}
    return Finding(name, ratio(times, above, below), relation, limit, " times", {"seconds": medians})


def timed(action: Callable[[], object]) -> float:
    """The seconds that an action takes."""
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def program(argv: Sequence[str], env: Mapping[str, str] | None = None) -> Subject:
    """A program run to its end, its output dropped; a status that is not 0 ends the bench, with what it said."""

    def run() -> None:
        ended = subprocess.run(
            argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        if ended.returncode != 0:
            said = ended.stderr.decode("utf-8", "replace").strip()
            raise SystemExit(f"bench: '{shlex.join(argv)}' ended with {ended.returncode}: {said}")

    def subject() -> float:
        return timed(run)

    return subject


def memory(pid: int, field: str = "VmRSS") -> float:
    """A process's resident memory in MB (VmHWM: its highest since `forget_peak`)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(f"no {field} of process {pid}")


def forget_peak(pid: int) -> None:
    """Let VmHWM begin again at what is resident now (proc(5): clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def daemon_pid(home: Home) -> int:
    """The pid of the installation's daemon."""
    status = json.loads(home.banger("daemon", "status", "--json", check=True).stdout)
    return int(status["pid"])
