"""The ways from an OCI image to an ext4 file that `bench_images` compares, and what each of them costs.

A way is a list of programs. Every file system that comes out is checked by e2fsck, and what a round leaves is removed
at its end, both outside of the timing. Nothing is synced to disk in any of them. The digests of the blobs and of what
is in them (diff_id) are checked in all of them but `inflate` and what is not `checked`.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from bench.layouts import Layout
from bench.measure import forget_peak

INFLATE = """\
import sys
from isal import isal_zlib
for path in sys.argv[1:]:
    codec = isal_zlib.decompressobj(31)
    with open(path, "rb") as file:
        while data := file.read(131072):
            while data:
                codec.decompress(data, 1048576)
                data = codec.unconsumed_tail
"""
"""Every layer inflated by isal in bounded pieces, which are dropped."""


class Cost(NamedTuple):
    """Seconds by the clock, seconds of processors, and the largest resident memory of one process in MB."""

    wall: float
    cpu: float
    memory: float


class Step(NamedTuple):
    """A program, and what it reads on stdin. One that ``warms`` says when it is ready; its time begins then."""

    argv: Sequence[str | Path]
    stdin: bytes = b""
    warms: bool = False


class Way:
    """Called, it does its steps once and returns the seconds.

    ``costs`` has all that it cost, round by round, ``fsck`` the seconds of the checks, and ``allocated`` the bytes on
    disk of the last image. ``prepare`` is called, if there is one, before each round, ``inspect`` while its files are
    there.
    """

    def __init__(self, steps: Sequence[Step], image: Path | None = None, leaves: Sequence[Path] = ()) -> None:
        self.image = image
        self.costs: list[Cost] = []
        self.fsck: list[float] = []
        self.allocated = 0
        self.prepare: Callable[[], None] | None = None
        self.inspect: Callable[[], None] | None = None
        self._steps = steps
        self._leaves = [*leaves, *([image] if image is not None else [])]

    def __call__(self) -> float:
        self.remove()
        os.sync()  # what others left to be written is written in nobody's time
        if self.prepare is not None:
            self.prepare()
        spent = [spend(step) for step in self._steps]
        cost = Cost(
            sum(each.wall for each in spent), sum(each.cpu for each in spent), max(each.memory for each in spent)
        )
        self.costs.append(cost)
        if self.image is not None:
            self.allocated = self.image.stat().st_blocks * 512
            self.fsck.append(check(self.image))
        if self.inspect is not None:
            self.inspect()
        self.remove()
        return cost.wall

    def remove(self) -> None:
        """Remove what a round left."""
        for path in self._leaves:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def cpu(self) -> float:
        """The least processor time of a round: what other work on the machine adds to it is not ours."""
        return min(cost.cpu for cost in self.costs)


def environment() -> dict[str, str]:
    """What the programs get: with sbin, where a plain user has it not, and our modules."""
    modules = os.pathsep.join(os.path.abspath(each) for each in sys.path if each)
    return {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "PYTHONPATH": modules, "LC_ALL": "C.UTF-8"}


def spend(step: Step) -> Cost:
    """Run a program to its end; a status that is not 0 ends the bench."""
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as given:
        given.write(step.stdin)
        given.seek(0)
        forget_peak(os.getpid())  # a child begins with what its parent had at most
        begun = time.perf_counter()
        if step.warms:
            process = subprocess.Popen(
                step.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=told, env=environment()
            )
            assert process.stdin is not None and process.stdout is not None
            process.stdout.readline()
            begun = time.perf_counter()
            process.stdin.close()
        else:
            process = subprocess.Popen(step.argv, stdin=given, stdout=told, stderr=told, env=environment())
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            told.seek(0)
            raise RuntimeError(f"{step.argv[0]} ended with {process.returncode}: {told.read()[-2000:].decode()}")
    return Cost(wall, used.ru_utime + used.ru_stime, _megabytes(used))


def warm(path: Path) -> None:
    """Bring a file into the page cache."""
    with path.open("rb") as file:
        while file.read(1 << 20):
            pass


def cool(path: Path) -> None:
    """Drop a file from the page cache."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _megabytes(used: resource.struct_rusage) -> float:
    return used.ru_maxrss * 1024 / 1e6


def check(image: Path) -> float:
    """The seconds of ``e2fsck -fn``; what it finds ends the bench."""
    return spend(Step(["e2fsck", "-fn", image])).wall


def umoci(layout: Layout, staging: Path, image: Path, size: int) -> Way:
    """``umoci unpack``, then ``mke2fs -d``."""
    return Way(_unpack(layout.reference, staging, image, size), image, [staging])


def registry(reference: str, staging: Path, image: Path, size: int) -> Way:
    """``skopeo copy`` from a registry, then as `umoci`."""
    copied = staging.with_name(staging.name + "-layout")
    copy = ["skopeo", "copy", "--quiet", "--src-tls-verify=false", reference, f"oci:{copied}:image"]
    if not Path("/etc/containers/policy.json").exists():
        copy.insert(1, "--insecure-policy")
    return Way([Step(copy), *_unpack(f"{copied}:image", staging, image, size)], image, [staging, copied])


def _unpack(source: str, staging: Path, image: Path, size: int) -> list[Step]:
    make: list[str | Path] = ["mke2fs", "-q", "-F", "-t", "ext4", "-E", "root_owner=0:0", "-d", staging / "rootfs"]
    return [Step(["umoci", "unpack", "--image", source, staging]), Step([*make, image, f"{size >> 10}k"])]


def predecessor(layout: Layout, staging: Path, image: Path, size: int) -> Way:
    """The predecessor's method (`seed_method`)."""
    argv: list[str | Path] = [sys.executable, "-m", "bench.seed_method", layout.path, staging, image, str(size)]
    return Way([Step(["mkdir", staging]), Step(argv)], image, [staging])


def inflate(layout: Layout) -> Way:
    """All layers inflated with isal and nothing else."""
    return Way([Step([sys.executable, "-c", INFLATE, *(each.path for each in layout.layers)])])


def banger(layout: Layout, image: Path, size: int, *, checked: bool = True, indexes: Path | None = None) -> Way:
    """Ours (`building`)."""
    return Way([building(layout, image, size, checked=checked, indexes=indexes)], image)


def building(layout: Layout, image: Path, size: int, *, checked: bool = True, indexes: Path | None = None) -> Step:
    """The process that the daemon starts for a build, with the request that it gets.

    ``indexes`` is where it notes what it learns of layers, for the next image that has them.
    """
    layers = [_described(each.path, each.digest, each.diff_id, checked) for each in layout.layers]
    request: dict[str, object] = {"layers": layers, "output": str(image), "seed": layout.digest, "size": size}
    if indexes is not None:
        request |= {"indexes": str(indexes), "home": str(image)}
    return Step([sys.executable, "-P", "-m", "banger.oci.child"], msgspec.json.encode(request))


def _described(path: Path, digest: str, diff_id: str, checked: bool) -> Mapping[str, object]:
    plain = {"path": str(path), "name": digest}
    return {**plain, "digest": digest, "size": path.stat().st_size, "diff_id": diff_id} if checked else plain


def pull(reference: str, cache: Path, image: Path, size: int) -> Way:
    """Ours from a registry, with an empty cache of blobs, by a process that is as ready as a daemon."""
    argv: list[str | Path] = [sys.executable, "-m", "bench.pull_once", reference, cache, image, str(size)]
    return Way([Step(argv, warms=True)], image, [cache])
