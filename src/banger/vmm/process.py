"""What every driver does alike with the process behind a handle."""

import os
import resource
import signal

from banger import errors, proc
from banger.vmm import sockets
from banger.vmm.driver import Handle

_END_SECONDS = 30


def identity(handle: Handle) -> proc.Identity:
    return proc.Identity(handle.pid, handle.start_ticks)


def machine_name(handle: Handle) -> str:
    """The machine's id, for errors: its directory is named after it."""
    return os.path.basename(os.path.dirname(handle.console))


def file_size_limit(wanted: int) -> dict[int, int]:
    """RLIMIT_FSIZE for a monitor: as wanted, or what we are held to ourselves."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    return {resource.RLIMIT_FSIZE: wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)}


async def end(handle: Handle) -> None:
    """SIGKILL, wait for the end, remove the sockets' names. Idempotent; a later process with the pid is left alone.

    A machine has one handle at a time, so that the names are this process's.
    """
    this = identity(handle)
    proc.send_signal(this, signal.SIGKILL)
    if not await proc.wait_gone(this, _END_SECONDS):
        raise errors.VmmFailed(reason=f"process {handle.pid} does not end", name=machine_name(handle))
    for path in (handle.control_socket, handle.agent_socket):
        sockets.remove(path)
