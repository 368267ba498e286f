"""Commands in the box, over the guest agent's port: the host's end of the channel, for code that is not asynchronous.

The channel lives in an event loop in a thread of its own. Every call has a limit, here and in the box, so that a box
that hangs ends a test and not the session: `Silent` is raised when even the answer that a time limit should have
brought does not come.
"""

import asyncio
import io
import tarfile
import threading
from collections.abc import AsyncIterator, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from banger import errors
from banger.guest.channel import Channel
from banger.guest.command import CommandEnd, ExecSpec
from banger.vmm import sockets

T = TypeVar("T")

GRACE = 30.0
"""Seconds that the answer may come late."""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/banger/bin"
"""The environment with the wheel comes last: the installed command, where there is one, is the one that is meant."""

SHELL = ("/bin/bash", "-c")
_PIECE = 64 * 1024


class Silent(Exception):
    """The box does not answer: it hangs, or its emulator has ended."""


class Ended(NamedTuple):
    """How a command ended: its status (124 after a time limit, 128 and the number after a signal) and what it said."""

    status: int
    stdout: str
    stderr: str


class Line:
    """An attachment to the agent at a socket."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="box line", daemon=True)
        self._thread.start()
        self._channel: Channel | None = None

    def attach(self, socket: str, timeout: float) -> None:
        """Wait for the agent. Raises `Silent`."""
        self._channel = self.wait(Channel.attach(partial(sockets.connect, socket), timeout=timeout), timeout)

    @property
    def channel(self) -> Channel:
        assert self._channel is not None, "not attached"
        return self._channel

    def wait(self, work: Coroutine[Any, Any, T], timeout: float) -> T:
        """The result of a coroutine in the line's loop. Raises `Silent`."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout + GRACE)
        except TimeoutError:
            future.cancel()
            raise Silent(f"no answer within {timeout + GRACE:g} s") from None
        except (errors.AgentLost, errors.GuestSilent, errors.ProtocolViolation) as lost:
            raise Silent(str(lost)) from None

    def run(
        self,
        argv: tuple[str, ...],
        *,
        user: str | None,
        env: Mapping[str, str],
        cwd: str | None,
        stdin: bytes | None,
        timeout: float,
    ) -> Ended:
        """Run a command to its end."""
        spec = ExecSpec(
            argv=argv,
            env={"PATH": PATH, "LANG": "C.UTF-8", **env},
            cwd=cwd,
            user=user,
            stdin=stdin is not None,
            timeout=timeout,
        )
        return self.wait(self._run(spec, stdin), timeout)

    async def _run(self, spec: ExecSpec, stdin: bytes | None) -> Ended:
        try:
            command = await self.channel.exec(spec)
        except (errors.CommandNotFound, errors.CommandNotExecutable, errors.GuestRefused) as refused:
            return Ended(127, "", str(refused))
        said: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}

        async def feed() -> None:
            for start in range(0, len(stdin or b""), _PIECE):
                if not await command.write((stdin or b"")[start : start + _PIECE]):
                    return
            await command.close_stdin()

        feeding = asyncio.ensure_future(feed()) if stdin is not None else None
        try:
            async for number, data in command.output():
                said[number] += data
            end = await command.wait()
        finally:
            if feeding is not None:
                feeding.cancel()
            await command.kill()
        return Ended(_status(end), *(bytes(said[number]).decode(errors="replace") for number in (1, 2)))

    def put(self, archive: bytes, directory: str, timeout: float) -> None:
        """Unpack a tar archive below a directory of the box."""

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(archive), _PIECE):
                yield archive[start : start + _PIECE]

        self.wait(self.channel.put(directory, pieces()), timeout)

    def get(self, path: str, timeout: float) -> tarfile.TarFile:
        """A file or directory of the box, as a tar archive."""

        async def collect() -> bytes:
            return b"".join([piece async for piece in self.channel.get(path)])

        return tarfile.open(fileobj=io.BytesIO(self.wait(collect(), timeout)))

    def set_clock(self) -> None:
        """What a saved machine sleeps through is made up for."""
        self.wait(self.channel.set_clock(), 30)

    def close(self) -> None:
        """Let go of the port and end the thread."""
        if self._channel is not None:
            self.wait(self._channel.close(), 10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        if not self._thread.is_alive():
            self._loop.close()


def tar_of(source: Path, name: str) -> bytes:
    """A file or directory of this side as an archive with one entry ``name``, owned by root."""

    def as_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = 0
        info.uname = info.gname = "root"
        return info

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(source, name, filter=as_root)
    return buffer.getvalue()


def _status(end: CommandEnd) -> int:
    if end.timed_out:
        return 124
    if end.signal is not None:
        return 128 + end.signal
    return end.exit_code or 0
