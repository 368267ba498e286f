"""The helper's one door to other programs: a fixed table of tools, argv lists built by us, run by descriptor.

A tool is a regular file of root's that nobody else can write, and so is every directory above it. It is opened once;
what was checked is what runs. Its environment is empty but for a locale and a PATH of the system's directories. It
gains no privileges by what it executes, leaves no core, and is killed when the process that started it dies: a request
that was cut short must not go on changing the host behind the next one. `start` starts what outlives us on purpose.
"""

import contextlib
import ctypes
import os
import resource
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from . import walk
from .operation import Failed, Refused

TOOLS: Mapping[str, tuple[str, ...]] = {
    "ip": ("/usr/sbin/ip", "/usr/bin/ip", "/sbin/ip"),
    "e2fsck": ("/usr/sbin/e2fsck", "/sbin/e2fsck"),
    "debugfs": ("/usr/sbin/debugfs", "/sbin/debugfs"),
    "resolvectl": ("/usr/bin/resolvectl",),
}
"""Where each tool may be."""

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
OUTPUT_LIMIT = 1 << 20

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


class Completed(NamedTuple):
    """How a tool ended, and what it said."""

    status: int
    stdout: bytes
    stderr: bytes


def installed(tool: str) -> bool:
    return any(map(os.path.exists, TOOLS[tool]))


def open_executable(path: str) -> int:
    """A descriptor (O_PATH) of a program that only root can have put there; the caller closes it. Raises `Failed`."""
    try:
        descriptor = walk.open_trusted(path, os.O_PATH)
    except Refused as refused:
        raise Failed(f"{path}: {refused}") from None
    if os.fstat(descriptor).st_mode & 0o111:
        return descriptor
    os.close(descriptor)
    raise Failed(f"{path} is not a program")


def run(
    tool: str,
    *arguments: str,
    input: bytes = b"",
    timeout: float = 30.0,
    ok: Collection[int] = (0,),
    descriptors: Collection[int] = (),
    user: int | None = None,
    memory: int | None = None,
    output: int = OUTPUT_LIMIT,
    environment: Mapping[str, str] | None = None,
    path: str | None = None,
) -> Completed:
    """Run a tool of the table to its end, or the program ``path`` that the installation names; it dies with us.

    ``descriptors`` are inherited under their own numbers. With ``user`` it runs as that user and group, without any
    other group, and can start no other process; ``memory`` bounds its address space in bytes, ``output`` what it may
    say on stdout. Raises `Failed` for a status that is not in ``ok``, for a tool that says more, and (busy) for one
    that takes longer.
    """
    path = path or next((each for each in TOOLS[tool] if os.path.exists(each)), None)
    if path is None:
        raise Failed(f"{tool} is not installed")
    executable = open_executable(path)
    try:
        process = subprocess.Popen(
            [tool, *arguments],
            executable=f"/proc/self/fd/{executable}",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**ENVIRONMENT, **(environment or {})},
            cwd="/",
            start_new_session=True,
            pass_fds=(executable, *descriptors),
            user=user,
            group=user,
            extra_groups=[] if user is not None else None,
            preexec_fn=_preparation(memory, alone=user is not None),
        )
    except OSError as error:
        raise Failed(f"{tool}: {error.strerror}") from None
    finally:
        os.close(executable)
    try:
        stdout, stderr = _conversation(process, input, timeout, output)
    except _Broken as broken:
        raise Failed(f"{tool} {broken}", busy=broken.busy) from None
    finally:
        _close(process)
    if process.returncode not in ok:
        said = stderr.decode("utf-8", "replace").strip().splitlines()
        raise Failed(f"{tool} ended with status {process.returncode}: {' / '.join(said[-3:])[-400:]}")
    return Completed(process.returncode, stdout, stderr)


def _preparation(memory: int | None, *, alone: bool) -> Callable[[], None]:
    """What a tool's process does before it becomes the tool."""
    parent = os.getpid()

    def prepare() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # it died before we could say so
            os._exit(127)
        _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory is not None:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        if alone:
            resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))

    return prepare


class _Broken(Exception):
    """A tool that had to be ended."""

    def __init__(self, reason: str, *, busy: bool = False) -> None:
        super().__init__(reason)
        self.busy = busy


def _conversation(process: "subprocess.Popen[bytes]", input: bytes, timeout: float, most: int) -> tuple[bytes, bytes]:
    """Feed a tool and take what it says, with bounded memory; beyond the bound, stderr is dropped."""
    assert process.stdin and process.stdout and process.stderr
    deadline = time.monotonic() + timeout
    stdout, stderr = bytearray(), bytearray()
    pending = memoryview(input)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, stdout)
        selector.register(process.stderr, selectors.EVENT_READ, stderr)
        os.set_blocking(process.stdin.fileno(), False)
        selector.register(process.stdin, selectors.EVENT_WRITE)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise _Broken(f"did not end within {timeout:g} s", busy=True)
            for key, _ in ready:
                if key.fileobj is process.stdin:
                    pending = _fed(key.fd, pending)
                    finished = not pending
                else:
                    chunk = os.read(key.fd, 1 << 16)
                    finished = not chunk
                    key.data.extend(chunk[: max(0, most + 1 - len(key.data))])
                if finished:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
            if len(stdout) > most:
                raise _Broken(f"said more than {most} bytes")
    try:
        process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise _Broken(f"did not end within {timeout:g} s", busy=True) from None
    return bytes(stdout), bytes(stderr[:most])


def _fed(descriptor: int, pending: memoryview) -> memoryview:
    """What is left to write after as much as a pipe takes now; nothing where nobody reads any more."""
    try:
        return pending[os.write(descriptor, pending[: 1 << 16]) :] if pending else pending
    except BlockingIOError:
        return pending
    except BrokenPipeError:
        return memoryview(b"")


def _close(process: "subprocess.Popen[bytes]") -> None:
    """End what is left of a tool. One that the kernel does not let go is left behind: nothing can be done for it."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def start(path: str, argv: Sequence[str], *, cgroup: int, output: int) -> "subprocess.Popen[bytes]":
    """Start a program of root's that outlives us, in a session of its own, with ``output`` as stdout and stderr.

    The child enters the cgroup whose ``cgroup.procs`` is open as ``cgroup`` before it runs anything, so all that it
    ever allocates is counted there. It can gain no privileges by running another program, and it leaves no core file:
    that would hold a guest's memory. A thread collects its exit status; should we end first, init does.
    """
    executable = open_executable(path)

    def prepare() -> None:
        os.write(cgroup, b"0")  # the writer itself
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise OSError("no_new_privs")

    try:
        process = subprocess.Popen(
            argv,
            executable=f"/proc/self/fd/{executable}",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=ENVIRONMENT,
            cwd="/",
            umask=0o022,
            start_new_session=True,
            pass_fds=(executable, cgroup),
            preexec_fn=prepare,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Failed(f"{argv[0]} cannot be started: {error}") from None
    finally:
        os.close(executable)
    threading.Thread(target=process.wait, name=f"wait-{process.pid}", daemon=True).start()
    return process
