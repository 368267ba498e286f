"""How fast an image becomes a disk: our writer against mke2fs -d, and against inflating the layers alone.

    PYTHONPATH=src python -m bench.image_build [ROUNDS]

The image is Debian minbase, one gzip layer. Rounds are interleaved; medians of wall time and the least CPU time are
printed, with ratios. Nothing is synced to disk in any of them, and diff_ids are checked in none.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.guest_images import debian_tar

REQUEST = '{{"layers":[{{"path":"{layer}","name":"layer"}}],"output":"{output}","seed":"bench"}}'
INFLATE = (
    "import sys; from banger.oci import inflate; print(sum(map(len, inflate.pieces(open(sys.argv[1], 'rb').read))))"
)
MKE2FS = 'mkdir "$2" && tar -xzf "$1" -C "$2" && mke2fs -q -t ext4 -d "$2" "$3" 1G && rm -rf "$2"'


def run(argv: list[str], text: str = "") -> None:
    environment = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
    subprocess.run(argv, input=text, text=True, check=True, stdout=subprocess.DEVNULL, timeout=600, env=environment)


def measured(work: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds of the children that ``work`` starts."""
    before, start = os.times(), time.perf_counter()
    work()
    wall, after = time.perf_counter() - start, os.times()
    return wall, after.children_user + after.children_system - before.children_user - before.children_system


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        directory = Path(name)
        layer, output, tree = directory / "layer.tar.gz", directory / "image", directory / "tree"
        layer.write_bytes(subprocess.run(["gzip", "-6nc", debian_tar()], capture_output=True, check=True).stdout)
        ways: dict[str, Callable[[], None]] = {
            "inflate alone": lambda: run([sys.executable, "-c", INFLATE, str(layer)]),
            "banger": lambda: run(
                [sys.executable, "-m", "banger.oci.child"], REQUEST.format(layer=layer, output=output)
            ),
            "tar + mke2fs -d": lambda: run(["sh", "-c", MKE2FS, "sh", str(layer), str(tree), str(output)]),
        }
        taken: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, work in ways.items():
                taken[way].append(measured(work))
                output.unlink(missing_ok=True)
    wall = {way: statistics.median(each[0] for each in times) for way, times in taken.items()}
    cpu = {way: min(each[1] for each in times) for way, times in taken.items()}
    for way in ways:
        print(f"{way:16} {wall[way]:6.2f} s  cpu {cpu[way]:6.2f} s  {wall[way] / wall['banger']:5.2f} of banger's time")
    floor = wall["banger"] / wall["inflate alone"], cpu["banger"] / cpu["inflate alone"]
    print(f"banger / inflate alone: {floor[0]:.2f} (cpu {floor[1]:.2f})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
