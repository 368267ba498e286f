"""A guest agent on this host, reached as a guest's is: through a unix socket whose other end stays open for ever.

`Port` does what QEMU does for a virtio-serial port: it serves one client at a time, and a client that goes away in the
middle of a frame leaves that half frame in the agent's input. Bytes for nobody wait.
"""

# ruff: noqa: ASYNC110 - a real process is waited for

import asyncio
import contextlib
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from banger.guest.channel import Channel
from banger.guest.command import CommandEnd, ExecSpec, GuestCommand
from banger.vmm import sockets

PROJECT = Path(__file__).resolve().parents[3]


def build_agent(out: Path, arch: str = "x86_64") -> Path:
    """The agent's binary, built from this tree."""
    script = PROJECT / "guest-agent" / "build.py"
    subprocess.run([sys.executable, script, "--arch", arch, "--out", out], check=True, timeout=280)
    return out / arch / "banger-agent"


class Port:
    """An agent process and the socket that leads to it."""

    def __init__(self, binary: Path, directory: Path) -> None:
        self.path = str(directory / "port.sock")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(8)
        self._host, guest = socket.socketpair()
        self._stop, self._stopped = os.pipe()
        self._process = subprocess.Popen(
            [binary, "serve-fd", str(guest.fileno())], pass_fds=(guest.fileno(),), env={"PATH": os.environ["PATH"]}
        )
        guest.close()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def running(self) -> bool:
        return self._process.poll() is None

    def memory(self, field: str = "VmHWM") -> int:
        """Bytes of resident memory: now (VmRSS) or at its highest (VmHWM)."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
        raise AssertionError(field)

    def limit_descriptors(self, most: int) -> None:
        """From now on the agent may have so many open files, so that one that is forgotten is missed soon."""
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (most, most))

    def _serve(self) -> None:
        while True:
            sources: list[socket.socket | int] = [self._listener, self._stop]
            ready, _, _ = select.select(sources, [], [])
            if self._stop in ready:
                return
            client, _ = self._listener.accept()
            with client, contextlib.suppress(OSError):
                self._relay(client)

    def _relay(self, client: socket.socket) -> None:
        sockets = {client: self._host, self._host: client}
        while True:
            sources: list[socket.socket | int] = [*sockets, self._stop]
            ready, _, _ = select.select(sources, [], [])
            if self._stop in ready:
                return
            for each in (s for s in ready if isinstance(s, socket.socket)):
                data = each.recv(1 << 16)
                if not data:
                    return
                self._pass_on(sockets[each], data)

    def _pass_on(self, target: socket.socket, data: bytes) -> None:
        """Like `sendall`, but the other direction goes on and the rig can be stopped meanwhile."""
        view = memoryview(data)
        while view:
            ready, writable, _ = select.select([self._stop], [target], [], 5)
            if ready or not writable:
                raise OSError("nobody takes the data")
            view = view[target.send(view, socket.MSG_DONTWAIT) :]

    def close(self) -> None:
        os.write(self._stopped, b"x")
        self._thread.join(10)
        for each in (self._host, self._listener):
            each.close()
        os.close(self._stop)
        os.close(self._stopped)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            raise AssertionError("the agent did not end with its port") from None


# -- what tests do with a channel -------------------------------------------------------------------------------------


class Ran(NamedTuple):
    """What a command said and how it ended."""

    stdout: bytes
    stderr: bytes
    end: CommandEnd


async def ran(channel: Channel, *argv: str, stdin: bytes | None = None, **options: Any) -> Ran:
    """Run a command to its end, feeding it ``stdin`` where given."""
    command = await channel.exec(ExecSpec(argv=argv, stdin=stdin is not None, **options))
    feeding = asyncio.create_task(_feed(command, stdin))
    said = {1: bytearray(), 2: bytearray()}
    async for number, data in command.output():
        said[number] += data
    await feeding
    return Ran(bytes(said[1]), bytes(said[2]), await command.wait())


async def _feed(command: GuestCommand, stdin: bytes | None) -> None:
    if stdin is not None:
        await command.write(stdin)
        await command.close_stdin()


def on_channel(path: str, use: Callable[[Channel], Awaitable[None]], timeout: float = 100) -> None:
    """Attach, do ``use``, let go."""

    async def go() -> None:
        async with asyncio.timeout(timeout):
            channel = await Channel.attach(partial(sockets.connect, path), timeout=60)
            try:
                await use(channel)
            finally:
                await channel.close()

    asyncio.run(go())


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for what happens on its own; fails when it does not."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
