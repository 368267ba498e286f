"""From an OCI image to an ext4 file: ours against every other way, and against inflating the layers alone.

Root is needed: ``umoci unpack`` gives files their owners. The other ways unpack onto a tmpfs where there is one that is
large enough, the best case for them; the images of all are written to the same disk. The large image is held against
what umoci unpacks, entry by entry, once and outside of the timing. Two variables make a run shorter:
``BENCH_IMAGES`` names the images to measure (small, large, many, second; all unless set), ``BENCH_ROUNDS`` the rounds.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from tests.registry import Registry

from bench import ways
from bench.layouts import LARGE, MANY, SECOND, SMALL, Layout, layout
from bench.measure import Finding, Place, Subject, interleave, median, ratio
from bench.ways import Way

STOCKED = False
SIZES = {SMALL: 1 << 30, LARGE: 4 << 30, MANY: 1 << 30, SECOND: 4 << 30}
"""Of the file systems."""

ROUNDS = {SMALL: 5, LARGE: 3, MANY: 2, SECOND: 3}
STAGING_NEEDS = 4 << 30
MEMORY_LIMIT = 250
SPACE_LIMIT = 1.05
BLOCK = 4096

OURS, UNCHECKED, PULLED, ZSTD = "banger", "banger, nothing checked", "banger, from a registry", "banger, zstd layers"
COLD = "banger, the first image not in memory"
UMOCI, SEED, REGISTRY, FLOOR = "umoci and mke2fs -d", "the predecessor", "skopeo, umoci, mke2fs -d", "isal alone"


class Promise(NamedTuple):
    """How many times longer ``above`` takes than ``below``: the limit that holds, and the aim."""

    above: str
    below: str
    relation: Literal["at most", "at least"]
    limit: float
    goal: float


PROMISES = {
    SMALL: (
        Promise(UMOCI, OURS, "at least", 5, 7),
        Promise(SEED, OURS, "at least", 4, 6),
        Promise(REGISTRY, PULLED, "at least", 4, 6),
        Promise(UNCHECKED, FLOOR, "at most", 2, 1.8),
    ),
    LARGE: (
        Promise(UMOCI, OURS, "at least", 6, 7.5),
        Promise(SEED, OURS, "at least", 6, 8),
        Promise(REGISTRY, PULLED, "at least", 5, 7),
        Promise(UNCHECKED, FLOOR, "at most", 2, 1.5),
    ),
    MANY: (Promise(SEED, OURS, "at least", 20, 20),),
    SECOND: (Promise(UMOCI, OURS, "at least", 15, 25), Promise(UMOCI, COLD, "at least", 8, 15)),
}


def part(name: str) -> str:
    """The image that a finding of that name is about: the others' are kept when it is measured alone."""
    return name.partition(":")[0]


def measure(place: Place) -> list[Finding]:
    if os.geteuid() != 0:
        raise SystemExit("bench: images needs root, for umoci")
    chosen = os.environ.get("BENCH_IMAGES", "").split() or list(PROMISES)
    for name in chosen:  # in a process of its own: what it takes should not count as ours
        wanted = [f"{name}-gz", *([f"{name}-zstd"] if name in (SMALL, LARGE) else [])]
        _program("bench.layouts", *wanted)
    findings: list[Finding] = []
    with _staging(place.scratch) as staging, Registry(place.scratch) as registry:
        for name in chosen:
            findings += _compared(name, place.scratch, staging, registry)
    return findings


@contextmanager
def _staging(scratch: Path) -> Iterator[Path]:
    """A directory in memory where there is room for it, otherwise on disk."""
    memory = Path("/dev/shm")
    usage = shutil.disk_usage(memory) if memory.is_dir() else None
    place = memory if usage is not None and usage.free >= STAGING_NEEDS else scratch
    print(f"the others unpack below {place}", flush=True)
    with tempfile.TemporaryDirectory(prefix="banger-bench-", dir=place) as staging:
        yield Path(staging)


def _compared(name: str, scratch: Path, staging: Path, registry: Registry) -> list[Finding]:
    image = layout(name)
    found = _ways(name, image, scratch, staging, registry)
    for blob in image.layers:
        ways.warm(blob.path)  # for all
    content: list[int] = []
    if UMOCI in found:

        def inspect() -> None:
            if not content:
                content.append(_content(staging / "umoci/rootfs"))

        found[UMOCI].inspect = inspect
    found[OURS]()
    found[OURS].costs.clear()
    if name == LARGE:
        _hold_together(found, scratch, staging)
    rounds = int(os.environ.get("BENCH_ROUNDS", 0)) or ROUNDS[name]
    times = interleave(rounds, {each: _announced(each, way) for each, way in found.items()}, warm=False)
    findings = [_finding(name, promise, times, found) for promise in PROMISES[name]]
    if content:
        written = found[OURS].allocated
        detail = {"megabytes": {"image": written / 1e6, "content": content[0] / 1e6}}
        value = written / content[0]
        findings.append(Finding(f"{name}: disk space against content", value, "at most", SPACE_LIMIT, " times", detail))
    for each in (OURS, ZSTD, PULLED):
        if each in found and name in (SMALL, LARGE):
            memory = max(cost.memory for cost in found[each].costs)
            findings.append(Finding(f"{name}: memory, {each}", memory, "at most", MEMORY_LIMIT, " MB"))
    _print(times, found)
    return findings


def _hold_together(found: Mapping[str, Way], scratch: Path, staging: Path) -> None:
    """Have the first image that is ours compared with the first directory that is umoci's. What differs ends the bench.

    Directories that no layer names are of the time of the unpacking there.
    """
    notes = {OURS: scratch / "ours.facts", UMOCI: scratch / "umoci.facts"}
    begun = time.time_ns()
    image = found[OURS].image
    assert image is not None
    looks = {OURS: ("image", image), UMOCI: ("tree", staging / "umoci/rootfs")}

    def look(each: str, inspect: Callable[[], None] | None) -> None:
        if inspect is not None:
            inspect()
        if not notes[each].exists():
            _program("bench.sameness", *looks[each], notes[each])
            if all(note.exists() for note in notes.values()):
                _program("bench.sameness", "compare", notes[UMOCI], notes[OURS], str(begun))

    for each in notes:
        found[each].inspect = partial(look, each, found[each].inspect)


def _program(*words: str | Path) -> None:
    subprocess.run([sys.executable, "-m", *words], check=True, env=ways.environment())


def _ways(name: str, image: Layout, scratch: Path, staging: Path, registry: Registry) -> dict[str, Way]:
    size = SIZES[name]
    made = {each: scratch / f"{name}-{number}.ext4" for number, each in enumerate(_NAMES)}
    umoci = ways.umoci(image, staging / "umoci", made[UMOCI], size)
    seed = ways.predecessor(image, staging / "seed", made[SEED], size)
    ours = ways.banger(image, made[OURS], size)
    if name == MANY:
        return {OURS: ours, SEED: seed}
    if name == SECOND:
        indexes = scratch / "indexes"
        indexes.mkdir(0o700)
        first = scratch / "first.ext4"
        ways.spend(ways.building(layout(LARGE), first, size, indexes=indexes))
        ours, cold = (ways.banger(image, made[each], size, indexes=indexes) for each in (OURS, COLD))
        ours.prepare, cold.prepare = partial(ways.warm, first), partial(ways.cool, first)
        return {OURS: ours, COLD: cold, UMOCI: umoci}
    reference = registry.push(f"oci:{image.reference}", f"bench/{name}:latest")
    return {
        OURS: ours,
        UNCHECKED: ways.banger(image, made[UNCHECKED], size, checked=False),
        ZSTD: ways.banger(layout(name, "zstd"), made[ZSTD], size),
        FLOOR: ways.inflate(image),
        PULLED: ways.pull(f"docker://{reference}", scratch / "cache", made[PULLED], size),
        UMOCI: umoci,
        SEED: seed,
        REGISTRY: ways.registry(f"docker://{reference}", staging / "registry", made[REGISTRY], size),
    }


_NAMES = (OURS, UNCHECKED, ZSTD, PULLED, COLD, UMOCI, SEED, REGISTRY)


def _announced(name: str, way: Way) -> Subject:
    def subject() -> float:
        seconds = way()
        print(f"  {name}: {seconds:.2f} s", flush=True)
        return seconds

    return subject


def _content(root: Path) -> int:
    """The bytes of the blocks of all files below ``root`` that are not all zeros."""
    counted, blocks = set(), 0
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            inode = os.lstat(path).st_ino
            if os.path.islink(path) or not os.path.isfile(path) or inode in counted:
                continue
            counted.add(inode)
            with open(path, "rb") as file:
                while piece := file.read(BLOCK):
                    blocks += bool(piece.strip(b"\0"))
    return blocks * BLOCK


def _finding(name: str, promise: Promise, times: Mapping[str, list[float]], found: Mapping[str, Way]) -> Finding:
    above, below = promise.above, promise.below
    detail = {
        "seconds": {each: round(median(times[each]), 3) for each in (above, below)},
        "cpu": {each: round(found[each].cpu(), 3) for each in (above, below)},
        "cpu ratio": round(found[above].cpu() / found[below].cpu(), 2),
        "goal": promise.goal,
    }
    return Finding(
        f"{name}: {above} against {below}",
        ratio(times, above, below),
        promise.relation,
        promise.limit,
        " times",
        detail,
    )


def _print(times: Mapping[str, list[float]], found: Mapping[str, Way]) -> None:
    """All that was measured, promised or not."""
    for name, way in found.items():
        fsck = f"{median(way.fsck):.2f}" if way.fsck else "-"
        memory = max(cost.memory for cost in way.costs)
        print(
            f"  {name:28} {min(times[name]):7.2f} s least {median(times[name]):7.2f} median {way.cpu():7.2f} cpu"
            f" {memory:6.0f} MB  e2fsck {fsck} s",
            flush=True,
        )
