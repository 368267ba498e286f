"""debugfs(8) on a file of our own, as a process of our own: it drives the conversation of `banger.helper.debugfs`.

A file system is hostile: the process has limits of memory, output and time. `checked` looks at the file before debugfs
does, and keeps other edits, machines and loop devices apart from ours.
"""

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterator, Sequence
from typing import TypeVar

from banger import errors, proc
from banger.privileged.ext4 import debugfs as talk
from banger.text import printable

OUTPUT_LIMIT, SECONDS, PATH_LIMIT = talk.OUTPUT_LIMIT, talk.SECONDS, talk.PATH_LIMIT
NOT_FOUND = talk.NOT_FOUND
Answer = talk.Answer
Made = TypeVar("Made")

_FLOCK = struct.Struct("hhqqi4x")
"""``struct flock`` of 64-bit Linux: type, whence, start, length, pid."""


async def ask(
    image: str,
    questions: Sequence[Sequence[str]],
    *,
    write: bool = False,
    seconds: float = SECONDS,
    limit: int = OUTPUT_LIMIT,
) -> list[Answer]:
    """The answers to ``questions``, in their order; each is a sequence of commands.

    Raises `errors.UnusableDisk` for a file system that must not be touched, or when debugfs could not finish,
    `errors.UsageError`, `errors.DiskFull`, `errors.TimedOut`, `errors.ToolMissing`.
    """
    image = os.path.abspath(image)
    if not questions:
        return []
    argv = ["prlimit", f"--as={talk.MEMORY_LIMIT}", proc.find("debugfs"), *(["-w"] if write else []), "-f", "-"]
    with told(image), checked(image, write=write):
        script = talk.Script(questions)
        try:
            result = await proc.run(
                [*argv, "./" + os.path.basename(image)],
                input=script.text,
                timeout=seconds,
                env=talk.ENVIRONMENT,
                cwd=os.path.dirname(image),
                check=False,
                limit=limit,
            )
        except errors.ToolFailed as fault:
            raise errors.UnusableDisk(path=image, reason=str(fault)) from None
        return script.answers(result.status, result.stdout, result.stderr)


async def follow(image: str, plan: talk.Plan[Made]) -> Made:
    """Ask what a plan wants to know, until it has what it is for. Raises as `ask`, and `errors.NoSuchPath`."""
    with told(image):
        try:
            asked = next(plan)
            while True:
                answers = await ask(image, asked.questions, write=asked.write, limit=asked.limit)
                asked = plan.send(answers)
        except StopIteration as done:
            made: Made = done.value
            return made


@contextlib.contextmanager
def told(image: str) -> Iterator[None]:
    """What goes wrong in a conversation, as errors of ours."""
    try:
        yield
    except talk.Unspeakable as fault:
        raise errors.UsageError(detail=printable(str(fault))) from None
    except talk.Unusable as fault:
        raise errors.UnusableDisk(path=image, reason=printable(str(fault), 300)) from None
    except talk.Missing as fault:
        raise errors.NoSuchPath(path=f"{image}:{fault.path}", kind=fault.kind) from None
    except talk.NoRoom:
        raise errors.DiskFull(path=image) from None


# -- the file ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def checked(image: str, *, write: bool) -> Iterator[None]:
    """Look at a file system before debugfs does, and with ``write`` keep other edits away while it works.

    Raises `errors.UnusableDisk`, `errors.NoSuchPath`.
    """
    try:
        descriptor = os.open(image, (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise errors.NoSuchPath(path=image, kind="file") from None
    except OSError as fault:
        raise errors.UnusableDisk(path=image, reason=fault.strerror or str(fault)) from None
    try:
        reason = _unfit(descriptor, write) or (_in_use(descriptor, image) if write else None)
        if reason is None and "?" in os.path.basename(image):
            reason = "a name with a question mark means something else to debugfs"
        if reason is not None:
            raise errors.UnusableDisk(path=image, reason=reason)
        yield
    finally:
        os.close(descriptor)


def _unfit(descriptor: int, write: bool) -> str | None:
    """Why this is no file system to work on."""
    if not os.path.isfile(f"/proc/self/fd/{descriptor}"):
        return "it is not a regular file"
    raw = os.pread(descriptor, talk.SUPERBLOCK_SIZE, talk.SUPERBLOCK_AT)
    return talk.unfit(raw, os.fstat(descriptor).st_size, write=write)


def _in_use(descriptor: int, image: str) -> str | None:
    """Who else has the file: another edit, a machine (QEMU locks single bytes), a loop device."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "another edit of it is under way"
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    if _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked))[0] != fcntl.F_UNLCK:
        return "a machine is using it"
    own = os.path.realpath(image)
    for name in os.listdir("/sys/block") if os.path.isdir("/sys/block") else ():
        with contextlib.suppress(OSError), open(f"/sys/block/{name}/loop/backing_file", encoding="utf-8") as file:
            if file.read().rstrip("\n") == own:
                return f"the loop device /dev/{name} is using it"
    return None
