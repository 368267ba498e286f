"""Firecracker alone, on the box: ``bare.py DIRECTORY COUNT``, as root, prints the seconds until every agent answers.

No jail, no helper, no limits: the least that can be done. DIRECTORY holds ``machine.json``, the configuration of a
machine of banger's as its monitor gave it, and ``vmlinux``, ``initrd``, ``modules``, ``root`` and ``work``; each of
COUNT machines has copies of the last two and a tap, made before the clock starts.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from banger.guest.channel import Channel
from banger.vmm.firecracker import vsock

PAUSE = 0.05
"""How long one attempt to reach an agent lasts, and how long until the next: an attempt that is made before the guest
is there would be answered after two seconds."""
PATIENCE = 300.0


def main(directory: Path, count: int) -> None:
    machines = [Machine(directory, number) for number in range(count)]
    try:
        print(json.dumps(asyncio.run(boot(machines))))
    finally:
        for each in machines:
            each.end()


async def boot(machines: list["Machine"]) -> float:
    """Start all at once; the seconds until the last one's agent has answered."""
    begun = time.perf_counter()
    for each in machines:
        each.start()
    channels = await asyncio.gather(*(Channel.attach(each.connect, timeout=PATIENCE) for each in machines))
    seconds = time.perf_counter() - begun
    for channel in channels:
        await channel.close()
    return seconds


class Machine:
    def __init__(self, directory: Path, number: int) -> None:
        self._directory = directory
        self._socket = directory / f"vsock.{number}"
        self._disks = {name: directory / f"{name}.{number}" for name in ("root", "work")}
        self._tap = f"bare{number}"
        self._process: subprocess.Popen[bytes] | None = None
        self._configuration = directory / f"machine.{number}.json"
        for name, path in self._disks.items():
            run("cp", "--sparse=always", str(directory / name), str(path))
        run("ip", "tuntap", "add", self._tap, "mode", "tap")
        run("ip", "link", "set", self._tap, "up")
        told = json.loads((directory / "machine.json").read_text())
        self._configuration.write_text(json.dumps(self._own(told)))

    def _own(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration with this machine's files, tap and socket; without what only an API client reads."""
        sections = ("boot-source", "drives", "machine-config", "network-interfaces", "vsock", "entropy", "balloon")
        own = {name: told[name] for name in sections}
        own["boot-source"] |= {
            "kernel_image_path": str(self._directory / "vmlinux"),
            "initrd_path": str(self._directory / "initrd"),
        }
        for drive in own["drives"]:
            name = drive["drive_id"]
            drive["path_on_host"] = str(self._disks.get(name, self._directory / name))
        own["network-interfaces"][0]["host_dev_name"] = self._tap
        own["vsock"]["uds_path"] = str(self._socket)
        return own

    def start(self) -> None:
        argv = ["firecracker", "--no-api", "--config-file", str(self._configuration)]
        with open(self._directory / "console", "wb") as console:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=console, stderr=console)

    async def connect(self) -> socket.socket:
        """A connection to the agent, as `banger.vmm.driver.Driver.connect_agent` gives one."""
        while True:
            assert self._process is not None
            if self._process.poll() is not None:
                raise RuntimeError((self._directory / "console").read_text())
            connected = socket.socket(socket.AF_UNIX)
            try:
                connected.connect(str(self._socket))
                async with asyncio.timeout(PAUSE):
                    await vsock.shake_hands(connected)
                return connected
            except (OSError, vsock.Refused, TimeoutError):
                connected.close()
            await asyncio.sleep(PAUSE)

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        run("ip", "link", "del", self._tap)
        for path in (self._socket, *self._disks.values(), self._configuration):
            path.unlink(missing_ok=True)


def run(*argv: str) -> None:
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    os.umask(0o077)
    main(Path(sys.argv[1]), int(sys.argv[2]))
