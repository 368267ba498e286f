"""The helper's one door to other programs: a fixed table of tools, argv lists built by us, run by descriptor.

A tool is a regular file of root's that nobody else can write, and so is every directory above it. It is opened once;
what was checked is what runs. Its environment is empty but for a locale and a PATH of the system's directories.
"""

import os
import resource
import signal
import stat
import subprocess
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from .operation import Failed

TOOLS: Mapping[str, tuple[str, ...]] = {
    "ip": ("/usr/sbin/ip", "/usr/bin/ip", "/sbin/ip"),
    "bridge": ("/usr/sbin/bridge", "/usr/bin/bridge", "/sbin/bridge"),
    "nft": ("/usr/sbin/nft", "/usr/bin/nft"),
    "dmsetup": ("/usr/sbin/dmsetup", "/sbin/dmsetup"),
    "e2fsck": ("/usr/sbin/e2fsck", "/sbin/e2fsck"),
    "debugfs": ("/usr/sbin/debugfs", "/sbin/debugfs"),
    "resolvectl": ("/usr/bin/resolvectl",),
}
"""Where each tool may be."""

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
OUTPUT_LIMIT = 1 << 20


class Completed(NamedTuple):
    """How a tool ended, and what it said (each at most `OUTPUT_LIMIT` bytes)."""

    status: int
    stdout: bytes
    stderr: bytes


def open_executable(path: str) -> int:
    """A descriptor of a program that only root can have put there; the caller closes it. Raises `Failed`."""
    descriptor = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        parts = os.path.realpath(path).split("/")[1:]
        for number, part in enumerate(parts):
            directory = os.O_DIRECTORY if number < len(parts) - 1 else 0
            below = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC | directory, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
            found = os.fstat(descriptor)
            if found.st_uid != 0 or found.st_mode & 0o022:
                raise Failed(f"{path}: somebody other than root can write {'/' + '/'.join(parts[: number + 1])}")
        if not stat.S_ISREG(found.st_mode) or not found.st_mode & 0o111:
            raise Failed(f"{path} is not a program")
        kept, descriptor = descriptor, -1
        return kept
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}") from None
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def run(
    tool: str,
    *arguments: str,
    input: bytes = b"",
    timeout: float = 30.0,
    ok: Collection[int] = (0,),
    descriptors: Sequence[int] = (),
    user: int | None = None,
    memory: int | None = None,
) -> Completed:
    """Run a tool of the table to its end.

    ``descriptors`` are inherited under their own numbers. With ``user`` it runs as that user and group, without any
    other group; ``memory`` bounds its address space in bytes. Raises `Failed` for a status that is not in ``ok``.
    """
    path = next((each for each in TOOLS[tool] if os.path.exists(each)), None)
    if path is None:
        raise Failed(f"{tool} is not installed")
    executable = open_executable(path)

    def prepare() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory is not None:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    process = subprocess.Popen(
        [tool, *arguments],
        executable=f"/proc/self/fd/{executable}",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        cwd="/",
        start_new_session=True,
        pass_fds=(executable, *descriptors),
        user=user,
        group=user,
        extra_groups=[] if user is not None else None,
        preexec_fn=prepare,
    )
    os.close(executable)
    try:
        stdout, stderr = process.communicate(input, timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise Failed(f"{tool} did not end within {timeout:g} s", busy=True) from None
    if process.returncode not in ok:
        said = stderr.decode("utf-8", "replace").strip().splitlines()
        raise Failed(f"{tool} ended with status {process.returncode}: {' / '.join(said[-3:])[:400]}")
    return Completed(process.returncode, stdout[:OUTPUT_LIMIT], stderr[:OUTPUT_LIMIT])
