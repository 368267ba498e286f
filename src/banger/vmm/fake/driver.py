"""A driver that keeps every promise of the contract but the guest: a small process owns the socket and the console.

For tests, and chosen by name only. ``BANGER_FAKE_AGENT`` is the command line of an agent that serves a connection on
its standard input and output; without it the process echoes. ``BANGER_FAKE_DELAY`` is how many seconds a launch takes
beyond what the process itself does. ``BANGER_FAKE_MACHINE`` is a program that stands in for an agent's machine, where
an interpreter's start would be most of what is measured (tests/fake_machine.c).
"""

import asyncio
import contextlib
import functools
import json
import os
import shlex
import signal
import socket
import sys

import msgspec

from banger import errors, proc
from banger.vmm import console, process, sockets
from banger.vmm.driver import Availability, Exit, Features, Handle, LaunchSpec

AGENT_VARIABLE = "BANGER_FAKE_AGENT"
DELAY_VARIABLE = "BANGER_FAKE_DELAY"
MACHINE_VARIABLE = "BANGER_FAKE_MACHINE"
_CONSOLE_LIMIT = 256 << 20
_MACHINE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "machine.py")
_ENDED = "fake machine ended: "


class FakeDriver:
    """Keeps `banger.vmm.driver.Driver`."""

    name = "fake"

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def availability(self) -> Availability:
        return Availability(
            usable=True,
            reason="a process that stands in a machine's place, for tests",
            features=Features(accelerated=False, user_networking=True, vsock=False, snapshot=False, jail=False),
        )

    async def launch(self, spec: LaunchSpec) -> Handle:
        _check(spec)
        handle = Handle(
            driver=self.name,
            pid=0,
            start_ticks=0,
            agent_socket=os.path.join(spec.runtime, "agent.sock"),
            console=os.path.join(spec.directory, "console.log"),
            control_socket="",
            machine="fake",
            log=os.path.join(spec.directory, "fake.log"),
        )
        await asyncio.sleep(float(os.environ.get(DELAY_VARIABLE, "0")))
        try:
            async with self._turn:  # one process in each turn of the loop: others are served in between
                await asyncio.sleep(0)
                identity = _spawn(spec, handle)
        except BaseException:
            sockets.remove(handle.agent_socket)
            raise
        return msgspec.structs.replace(handle, pid=identity.pid, start_ticks=identity.start_ticks)

    def alive(self, handle: Handle) -> bool:
        return proc.alive(process.identity(handle))

    async def kill(self, handle: Handle) -> None:
        await process.end(handle)

    async def wait(self, handle: Handle, timeout: float | None = None) -> Exit | None:
        if not await proc.wait_gone(process.identity(handle), timeout):
            return None
        said = console.last_line(handle.log)
        if not said.startswith(_ENDED):
            return Exit(reason="failed", detail=said) if said else Exit(reason="killed")
        return Exit(reason=said.removeprefix(_ENDED), detail=console.panic(handle.console) or "")

    async def connect_agent(self, handle: Handle) -> socket.socket:
        return await sockets.connect(handle.agent_socket)

    async def pause(self, handle: Handle) -> None:
        _signal(handle, signal.SIGSTOP)
        while self.alive(handle) and not _stopped(handle.pid):  # each thread stops when it next has a processor
            await asyncio.sleep(0.001)

    async def resume(self, handle: Handle) -> None:
        _signal(handle, signal.SIGCONT)

    async def stalled(self, handle: Handle) -> str | None:
        return None

    def trim_console(self, handle: Handle, limit: int) -> None:
        console.trim(handle.console, limit)


def _signal(handle: Handle, number: int) -> None:
    if not proc.send_signal(process.identity(handle), number):
        raise errors.VmmFailed(reason="its process is gone", name=process.machine_name(handle))


def _stopped(pid: int) -> bool:
    """Whether all threads of a process have stopped (proc(5): state)."""
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/stat", "rb") as stat:
                if stat.read().rpartition(b")")[2].split()[0] != b"T":
                    return False
    except (FileNotFoundError, ProcessLookupError):  # one that ends has not stopped
        return False
    return True


def _check(spec: LaunchSpec) -> None:
    """The same refusals as of a real monitor."""
    paths = [spec.kernel, spec.initrd, *(drive.path for drive in spec.drives)]
    for path in paths:
        if not os.path.isfile(path):
            raise errors.VmmFailed(reason=f"there is no file {path}", name=spec.vm_id)
    with open(spec.kernel, "rb") as file:
        if file.read(4) != b"\x7fELF":
            raise errors.VmmFailed(reason=f"{spec.kernel} is no kernel", name=spec.vm_id)


def _spawn(spec: LaunchSpec, handle: Handle) -> proc.Identity:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(sockets.listen(handle.agent_socket))
        output = console.create(handle.console)
        stack.callback(os.close, output)
        console.start_log(handle.log)
        return proc.spawn(
            _command(spec, listener.fileno(), output),
            log=handle.log,
            keep=(listener.fileno(), output),
        )


@functools.lru_cache(maxsize=1)
def _words(command: str) -> tuple[str, ...]:
    return tuple(shlex.split(command))


def _command(spec: LaunchSpec, listener: int, output: int) -> list[str]:
    """The machine's words; its initrd is among them, as others are found by it."""
    agent = _words(os.environ.get(AGENT_VARIABLE, ""))
    largest = min([_CONSOLE_LIMIT, *process.file_size_limit(_CONSOLE_LIMIT).values()])
    program = os.environ.get(MACHINE_VARIABLE)
    if program and agent:
        return [program, str(listener), str(output), str(largest), "-initrd", spec.initrd, "--", *agent]
    settings = {
        "listener": listener,
        "console": output,
        "largest": largest,
        "agent": agent or None,
        "cmdline": " ".join(spec.cmdline),
    }
    return [sys.executable, "-IS", _MACHINE, json.dumps(settings), "-initrd", spec.initrd]
