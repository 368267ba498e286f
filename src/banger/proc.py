"""The one door to other programs. No other module imports subprocess (a test sees to it).

Programs are started from argv lists, never through a shell; stdin is /dev/null unless given; the environment is
rebuilt from a short list instead of inherited, with a C.UTF-8 locale so that messages are stable; each child leads a
session of its own, so that a time limit or a cancellation ends all of its descendants.
"""

import asyncio
import contextlib
import os
import select
import shutil
import signal
import subprocess
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import IO, Any, NamedTuple

from banger import errors
from banger.log import printable

KEPT_VARIABLES = (
    "HOME", "PATH", "TMPDIR", "USER", "LOGNAME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DBUS_SESSION_BUS_ADDRESS",
    "REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
)  # fmt: skip
"""What a child inherits: where it is, who it is, its credentials, and the way through a proxy."""

OUTPUT_LIMIT = 4 << 20
"""Most bytes of a child's stdout or stderr that `run` keeps; what is said beyond that is lost."""

PACKAGES = {
    "skopeo": "skopeo", "mmdebstrap": "mmdebstrap", "qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils",
    "debugfs": "e2fsprogs", "mke2fs": "e2fsprogs", "e2fsck": "e2fsprogs", "resize2fs": "e2fsprogs", "dpkg-deb": "dpkg",
    "apt-get": "apt", "apt-cache": "apt", "newuidmap": "uidmap", "depmod": "kmod", "lz4": "lz4", "xz": "xz-utils",
    "unshare": "util-linux", "setpriv": "util-linux",
    "git": "git",
    "unsquashfs": "squashfs-tools", "prlimit": "util-linux", "ssh": "openssh-client", "ssh-keygen": "openssh-client",
}  # fmt: skip
"""Which Debian package brings each host tool."""


class Result(NamedTuple):
    """How a child ended: its exit status (negative: the signal that killed it) and what it said."""

    status: int
    stdout: bytes
    stderr: bytes


class Identity(NamedTuple):
    """A process that cannot be mistaken for a later one with the same pid (proc(5): starttime)."""

    pid: int
    start_ticks: int


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment that children get."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return {"PATH": os.defpath, **kept, "LANG": "C.UTF-8", **(extra or {})}


def find(tool: str) -> str:
    """The path of a host tool; also looks into the sbin directories, which a plain user's PATH leaves out.

    Raises `errors.ToolMissing`.
    """
    path = shutil.which(tool) or shutil.which(tool, path="/usr/local/sbin:/usr/sbin:/sbin")
    if path is None:
        raise errors.ToolMissing(tool=tool, package=PACKAGES.get(tool, tool))
    return path


async def run(
    argv: Sequence[str],
    *,
    input: bytes | AsyncIterable[bytes] | None = None,
    timeout: float | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    check: bool = True,
    mortal: bool = False,
    on_line: Callable[[str], None] | None = None,
    on_output: Callable[[str], None] | None = None,
    limit: int | None = None,
) -> Result:
    """Run a program to its end. ``on_line`` sees each line of its stderr as it comes, ``on_output`` of its stdout.

    With ``limit``, all of its output up to that many bytes is kept, and a child that says more is killed. A ``mortal``
    child is killed by the kernel when we die. What an ``input`` that comes piece by piece raises ends the child.
    Raises `errors.ToolMissing`, `errors.TimedOut`, and with ``check`` `errors.ToolFailed` on a status that is not 0.
    A cancelled call kills the child and everything that it started before it passes the cancellation on.
    """
    guard = [find("setpriv"), "--pdeathsig", "KILL", "--"] if mortal else []
    process = await asyncio.create_subprocess_exec(
        *guard,
        find(argv[0]),
        *argv[1:],
        stdin=asyncio.subprocess.PIPE if input is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(env),
        cwd=cwd,
        start_new_session=True,
    )
    reading = [
        asyncio.ensure_future(_collect(process.stdout, on_output, limit)),
        asyncio.ensure_future(_collect(process.stderr, on_line, limit)),
    ]
    feeding = asyncio.ensure_future(_feed(process.stdin, input))
    try:
        async with asyncio.timeout(timeout):
            await asyncio.gather(*reading, feeding)
            stdout, stderr = (each.result() for each in reading)
            status = await process.wait()
    except TimeoutError:
        raise errors.TimedOut(what=os.path.basename(argv[0]), seconds=timeout) from None
    except _SaidTooMuch:
        raise errors.ToolFailed(
            tool=os.path.basename(argv[0]), status="killed", detail=f"it said more than {limit} bytes"
        ) from None
    finally:
        kill_group(process.pid)
        await _abandon([*reading, feeding], process)
    if check and status != 0:
        tail = stderr.decode("utf-8", "replace").strip().splitlines()[-3:]
        raise errors.ToolFailed(
            tool=os.path.basename(argv[0]),
            status=f"status {status}",
            detail=printable(" / ".join(tail) or "no message"),
        )
    return Result(status, stdout, stderr)


def ask(argv: Sequence[str], *, timeout: float) -> str:
    """What a program that only tells something says, for who has no event loop to wait in.

    Raises `errors.ToolMissing`, `errors.TimedOut`, `errors.ToolFailed`.
    """
    done = answer(argv, timeout=timeout)
    if done.status != 0:
        detail = printable(done.stderr.decode("utf-8", "replace").strip()[-400:] or "no message")
        raise errors.ToolFailed(tool=os.path.basename(argv[0]), status=f"status {done.status}", detail=detail)
    return done.stdout.decode("utf-8", "replace")


def answer(
    argv: Sequence[str],
    *,
    timeout: float,
    input: bytes = b"",
    env: Mapping[str, str] | None = None,
    mortal: bool = False,
) -> Result:
    """As `run`, for who has no event loop to wait in; all of the output is kept, and any status is a result.

    Raises `errors.ToolMissing`, `errors.TimedOut`.
    """
    guard = [find("setpriv"), "--pdeathsig", "KILL", "--"] if mortal else []
    with subprocess.Popen(
        [*guard, find(argv[0]), *argv[1:]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(env),
        start_new_session=True,
    ) as process:
        try:
            stdout, stderr = process.communicate(input, timeout)
        except subprocess.TimeoutExpired:
            raise errors.TimedOut(what=os.path.basename(argv[0]), seconds=timeout) from None
        finally:
            kill_group(process.pid)
    return Result(process.returncode, stdout, stderr)


@contextlib.contextmanager
def answering(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """The stdin and stdout of a program that answers questions, for as long as the block lasts.

    Raises `errors.ToolMissing`.
    """
    with subprocess.Popen(
        [find(argv[0]), *argv[1:]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(env),
        start_new_session=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield process.stdin, process.stdout
        finally:
            kill_group(process.pid)


class _SaidTooMuch(Exception):
    """A child went beyond the limit that `run` was given."""


async def _collect(
    stream: asyncio.StreamReader | None, on_line: Callable[[str], None] | None, limit: int | None
) -> bytes:
    assert stream is not None
    kept = bytearray()
    pending = b""
    most = OUTPUT_LIMIT if limit is None else limit
    while chunk := await stream.read(1 << 16):
        if limit is not None and len(kept) + len(chunk) > limit:
            raise _SaidTooMuch
        kept += chunk[: max(0, most - len(kept))]
        if on_line is not None:
            *lines, pending = (pending + chunk).replace(b"\r", b"\n").split(b"\n")
            pending = pending[-OUTPUT_LIMIT:]
            for line in lines:
                on_line(line.decode("utf-8", "replace"))
    return bytes(kept)


async def _abandon(talking: Sequence["asyncio.Future[Any]"], process: asyncio.subprocess.Process) -> None:
    """Wait for a child that was killed. Before Python 3.12, that never ends while a full pipe is not read."""
    for each in talking:
        each.cancel()
    await asyncio.gather(*talking, return_exceptions=True)
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        while await stream.read(1 << 16):
            pass
    await process.wait()


async def _feed(stream: asyncio.StreamWriter | None, data: bytes | AsyncIterable[bytes] | None) -> None:
    if stream is None or data is None:
        return
    async for piece in _single(data) if isinstance(data, bytes) else data:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            stream.write(piece)
            await stream.drain()
    stream.close()


async def _single(data: bytes) -> AsyncIterator[bytes]:
    yield data


def kill_group(pid: int) -> None:
    """SIGKILL to a session leader and all that is left of its session's group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def spawn(
    argv: Sequence[str],
    *,
    log: str,
    env: Mapping[str, str] | None = None,
    uid: int | None = None,
    gid: int | None = None,
    groups: Sequence[int] = (),
    umask: int = 0o077,
    limits: Mapping[int, int] | None = None,
    keep: Sequence[int] = (),
    cwd: str = "/",
) -> Identity:
    """Start a program that outlives this process; its output is appended to the file ``log``.

    ``uid`` and ``gid`` drop root for good; ``groups`` are all the supplementary groups that are left then. ``limits``
    maps ``resource.RLIMIT_*`` to both the soft and the hard limit; with a limit on file sizes, a write beyond it fails
    instead of killing. ``keep`` lists descriptors that the child inherits. Raises `errors.ToolMissing`.
    """
    import resource

    def prepare() -> None:
        for kind, value in (limits or {}).items():
            resource.setrlimit(kind, (value, value))
        if resource.RLIMIT_FSIZE in (limits or {}):
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    with open(log, "ab") as output:
        process = subprocess.Popen(
            [find(argv[0]), *argv[1:]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(env),
            start_new_session=True,
            cwd=cwd,
            umask=umask,
            user=uid,
            group=gid,
            extra_groups=list(groups) if uid is not None else None,
            pass_fds=tuple(keep),
            preexec_fn=prepare if limits else None,
        )
    process.returncode = 0  # it is not ours to wait for: whoever adopts it watches it by `Identity`
    return Identity(process.pid, start_ticks(process.pid) or 0)


def start_ticks(pid: int) -> int | None:
    """Start time of a process in clock ticks after boot, or None when there is none (zombies count as none)."""
    state, ticks = _stat(pid)
    return None if state in (b"Z", b"X") else ticks


def _stat(pid: int) -> tuple[bytes, int | None]:
    """State and start time of a process's first thread; no time where there is no process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return b"X", None
    return fields[0], int(fields[19])


def alive(identity: Identity) -> bool:
    """Whether this very process still runs."""
    return start_ticks(identity.pid) == identity.start_ticks


def send_signal(identity: Identity, number: int) -> bool:
    """Signal this very process, never a later one with its pid; False when it is gone."""
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return False
    try:
        if not alive(identity):
            return False
        signal.pidfd_send_signal(descriptor, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)


def end_marked(variable: str, value: str) -> None:
    """SIGKILL to every process that was started with this environment variable, and its session, until none is left.

    For children of a process that died: whoever sets such a mark for a child must give it a value of its own, and a
    session. One that has become another user in a namespace since does not let its environment be read, and goes on
    with new children when those that it had are ended: it is known by the session that they share.
    """
    mark = f"{variable}={value}".encode()
    own, sessions = os.getsid(0), set[int]()
    found = True
    while found:
        found = False
        for pid in (int(name) for name in os.listdir("/proc") if name.isdecimal()):
            with contextlib.suppress(OSError):  # it is gone, or not ours to look at
                identity, session = Identity(pid, start_ticks(pid) or 0), os.getsid(pid)
                if session not in sessions:
                    with open(f"/proc/{pid}/environ", "rb") as environ:
                        if mark not in environ.read().split(b"\0"):
                            continue
                    sessions |= {session} - {own}
                found |= send_signal(identity, signal.SIGKILL)


def _readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


async def wait_gone(identity: Identity, timeout: float | None = None) -> bool:
    """Wait until this very process has ended; False when ``timeout`` seconds were not enough.

    With all of its threads: a process whose first thread is a zombie already may hold its files and their locks still.
    """
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return True
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        if _stat(identity.pid)[1] != identity.start_ticks or _readable(descriptor):
            return True
        async with asyncio.timeout(timeout):
            await ended.wait()
        return True
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(identity.pid, os.WNOHANG)  # noqa: ASYNC222 - it does not block
