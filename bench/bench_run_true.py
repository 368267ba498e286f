"""``banger run --rm IMAGE -- true`` with everything cached, against a bare QEMU that boots the same to user space.

The image's init writes a line to the console and sleeps. The bare QEMU gets the kernel, the initial RAM disk, the
devices and the kernel's command line of a machine of ours, and is over when that line is on its console.
"""

import json
import socket
import subprocess
import time
from pathlib import Path

from tests.guest_images import Tar, busybox_tar, write_layout
from tests.home import BANGER, Home

from banger.disk import work_disk
from bench.guests import machine, show
from bench.measure import Finding, Place, compare, interleave, median, timed

ROUNDS = 5
IMAGE = "telltale"
LINE = b"user space is here"
INIT = b"#!/bin/sh\necho " + LINE + b" >/dev/console\nexec sleep 1000000\n"


class Bare:
    """The command line of a machine's monitor, made independent of banger."""

    def __init__(self, home: Home, name: str, scratch: Path) -> None:
        self._scratch = scratch
        self._console = scratch / "console"
        words = Path(f"/proc/{show(home, name)['pid']}/cmdline").read_bytes().decode().split("\0")[:-1]
        self._argv = [self._free(word) for word in self._without(words, ("-add-fd", 1))]
        self._overlay, self._base = self._disks(words)

    def _free(self, word: str) -> str:
        """A word without a descriptor of the daemon's, and with files that outlive the machine."""
        if word.startswith("socket,id="):
            name = word.split(",")[1].removeprefix("id=")
            return f"socket,id={name},path={self._scratch / name},server=on,wait=off"
        if word.startswith("file,id=console"):
            return f"file,id=console,path={self._console}"
        if word.endswith("initrd.cpio"):
            kept = self._scratch / "initrd.cpio"
            kept.write_bytes(Path(word).read_bytes())
            return str(kept)
        if word.startswith("{") and (disk := json.loads(word).get("filename", "")).endswith(work_disk.NAME):
            kept = self._scratch / work_disk.NAME
            subprocess.run(["cp", "--sparse=always", disk, str(kept)], check=True)
            return word.replace(disk, str(kept))
        return word

    @staticmethod
    def _without(words: list[str], option: tuple[str, int]) -> list[str]:
        kept: list[str] = []
        skip = 0
        for word in words:
            if skip:
                skip -= 1
            elif word == option[0]:
                skip = option[1]
            else:
                kept.append(word)
        return kept

    @staticmethod
    def _disks(words: list[str]) -> tuple[str, str]:
        """The machine's own disk, and the image below it."""
        files = [json.loads(word) for word in words if word.startswith("{") and '"filename"' in word]
        overlay = next(each["filename"] for each in files if each["filename"].endswith(".qcow2"))
        base = next(each["filename"] for each in files if each["node-name"].endswith("-base-file"))
        return overlay, base

    def boot(self) -> float:
        """Boot to the line, then end it. A fresh disk each time, as banger makes one."""
        disk = self._scratch / "disk.qcow2"
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", self._base, str(disk), "8G"], check=True
        )
        self._console.write_bytes(b"")
        (self._scratch / "control").unlink(missing_ok=True)
        argv = [word.replace(self._overlay, str(disk)) for word in self._argv]
        begun = time.perf_counter()
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                self._go(process)
                while LINE not in self._console.read_bytes():
                    if process.poll() is not None or time.perf_counter() - begun > 120:
                        raise RuntimeError(f"the bare QEMU did not get to user space: {self._console.read_bytes()!r}")
                    time.sleep(0.005)
                return time.perf_counter() - begun
            finally:
                process.kill()

    def _go(self, process: subprocess.Popen[bytes]) -> None:
        """Let the processor run as soon as QEMU is there.

        Not from the beginning: QEMU 7.2's microvm, started without -S, never leaves an ELF kernel's entry point.
        """
        with socket.socket(socket.AF_UNIX) as control, control.makefile("rwb") as stream:
            control.settimeout(60)
            while control.connect_ex(str(self._scratch / "control")) != 0 and process.poll() is None:
                time.sleep(0.002)
            stream.readline()
            for request in (b'{"execute": "qmp_capabilities"}\n', b'{"execute": "cont"}\n'):
                stream.write(request)
                stream.flush()
                stream.readline()


def measure(place: Place) -> list[Finding]:
    home = place.home
    reference = write_layout(place.scratch / IMAGE, [busybox_tar(), Tar().file("sbin/init", INIT, 0o755).bytes()])
    home.banger("image", "pull", reference, "--name", IMAGE, timeout=300, check=True)
    with machine(home, "--image", IMAGE) as name:
        bare = Bare(home, name, place.scratch)
    documents: list[dict[str, object]] = []

    def run() -> float:
        argv = [*BANGER, "run", "--rm", "--json", "--image", IMAGE, "--", "true"]

        def act() -> None:
            done = subprocess.run(argv, env=home.env, stdin=subprocess.DEVNULL, capture_output=True, check=True)
            documents.append(json.loads(done.stdout))

        return timed(act)

    times = interleave(ROUNDS, {"bare": bare.boot, "banger": run})
    return [
        compare("run --rm against a bare boot", times, "banger", "bare", "at most", 1.3),
        accounted(documents, times),
    ]


def accounted(documents: list[dict[str, object]], times: dict[str, list[float]]) -> Finding:
    """How much of the whole time the printed phases leave out, in percent."""
    shares = []
    for document, whole in zip(documents[-ROUNDS:], times["banger"], strict=True):
        phases = document["phases"]
        assert isinstance(phases, list)
        shares.append(100 * abs(1 - sum(each["seconds"] for each in phases) / whole))
    return Finding(
        "time that no phase accounts for", median(shares), "at most", 5, " %", {"phases": documents[-1]["phases"]}
    )
