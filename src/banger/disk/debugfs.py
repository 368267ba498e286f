"""A conversation with debugfs(8): questions in, answers out, nothing taken on trust.

One process answers a batch of questions, each one or more commands, from a script on its stdin. debugfs ends with
status 0 or with an odd count whatever went wrong, goes on after every failure, and writes errors to stderr without
saying which command they belong to. Therefore a marker follows each question, a word that no command has: debugfs
repeats it on stdout and complains of it on stderr, which cuts both streams into answers. The word is random, so that
nothing in a file system can pretend to be one. An answer that is missing, a process that was killed and a word after
the last marker are errors; what counts as success of a command is for the caller to say, and to verify.

What would be misread is refused before it is asked: debugfs ends a command at a carriage return or after 8191 bytes,
and takes a name of 256 bytes for an empty one. `checked` looks at the superblock first, since debugfs edits a file
system whose journal has not been replayed, or that is mounted, without a word.

A file system is hostile: the process has limits of memory, output and time.
"""

import contextlib
import fcntl
import os
import secrets
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from banger import errors, proc
from banger.text import printable

OUTPUT_LIMIT = 64 << 20
MEMORY_LIMIT = 2 << 30
SECONDS = 120.0
LINE_LIMIT = 8000
NAME_LIMIT, PATH_LIMIT = 255, 4095
NOT_FOUND = b"File not found by ext2_lookup"

_ENVIRONMENT = {"DEBUGFS_PAGER": "__none__"}
_SUPERBLOCK_AT, _SUPERBLOCK_SIZE = 1024, 1024
_MAGIC = 0xEF53
_CLEAN, _ERRORS = 1, 2
_JOURNAL_DEVICE, _RECOVER, _ENCRYPTED, _CASEFOLDED = 0x8, 0x4, 0x10000, 0x20000
_INLINE_DATA = 0x8000
_ORPHANS, _QUOTA = 0x10000, 0x100
_FLOCK = struct.Struct("hhqqi4x")
"""``struct flock`` of 64-bit Linux: type, whence, start, length, pid."""


class Answer(NamedTuple):
    """What was said to one question: stdout without the repeated commands, stderr line by line."""

    output: bytes
    complaints: list[bytes]


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
    `errors.TimedOut`, `errors.ToolMissing`.
    """
    image = os.path.abspath(image)
    if not questions:
        return []
    token = f"mark-{secrets.token_hex(8)}"
    script = []
    for number, commands in enumerate(questions):
        script += [*commands, f"{token}-{number}"]
    long = next((each for each in script if len(each.encode()) > LINE_LIMIT), None)
    if long is not None:
        raise errors.UsageError(detail=f"{printable(long, 80)} is too long for debugfs")
    argv = ["prlimit", f"--as={MEMORY_LIMIT}", proc.find("debugfs"), *(["-w"] if write else []), "-f", "-"]
    with checked(image, write=write):
        try:
            result = await proc.run(
                [*argv, "./" + os.path.basename(image)],
                input="".join(f"{each}\n" for each in script).encode(),
                timeout=seconds,
                env=_ENVIRONMENT,
                cwd=os.path.dirname(image),
                check=False,
                limit=limit,
            )
        except errors.ToolFailed as fault:
            raise errors.UnusableDisk(path=image, reason=str(fault)) from None
    return _answers(image, token, questions, result)


def _answers(image: str, token: str, questions: Sequence[Sequence[str]], result: proc.Result) -> list[Answer]:
    """Cut the two streams at the markers. Raises `errors.UnusableDisk`."""
    banner, _, said = result.stderr.partition(b"\n")
    if not banner.startswith(b"debugfs ") or result.status < 0:
        raise _failed(image, result)
    output = result.stdout
    found = []
    for number, commands in enumerate(questions):
        mark = f"{token}-{number}".encode()
        part, marked, output = output.partition(b"debugfs: " + mark + b"\n")
        complaint, complained, said = said.partition(mark)
        if not (marked and complained):
            raise _failed(image, result)
        if not part.startswith(f"debugfs: {commands[0]}\n".encode()):  # it tells of checksums that it will ignore
            raise _failed(image, proc.Result(result.status, b"", part.partition(b"debugfs: ")[0]))
        said = said.partition(b"\n")[2]
        lines = complaint.split(b"\n")[:-1]  # the last one complains of the marker
        found.append(Answer(_without_echoes(part, commands), [line for line in lines if line.strip()]))
    if said.strip() or output.strip():  # a failure to write what was changed comes last
        raise _failed(image, proc.Result(result.status, b"", said + output))
    return found


def _without_echoes(part: bytes, commands: Sequence[str]) -> bytes:
    """What was said besides repeating the commands."""
    kept, at = [], 0
    for command in commands:
        echo = f"debugfs: {command}\n".encode()
        found = part.find(echo, at)
        if found >= 0:
            kept.append(part[at:found])
            at = found + len(echo)
    return b"".join(kept) + part[at:]


def _failed(image: str, result: proc.Result) -> errors.BangerError:
    said = [line for line in result.stderr.split(b"\n") if line.strip() and b"mark-" not in line]
    told = [line for line in said if not line.startswith(b"debugfs 1")]
    if any(b"No space left" in line for line in told):
        return errors.DiskFull(path=image)
    reason = printable(b" / ".join(told[:3]) or b"no message", 300)
    how = f"killed by signal {-result.status}" if result.status < 0 else "failed"
    return errors.UnusableDisk(path=image, reason=f"debugfs {how}: {reason}")


def quoted(text: str) -> str:
    """``text`` as one word of a command. Raises `errors.UsageError` for what debugfs would read as something else."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise errors.UsageError(detail=f"{printable(text)!r} is not UTF-8, which offline editing needs") from None
    if not text or any(ord(each) < 0x20 or ord(each) == 0x7F for each in text):
        raise errors.UsageError(
            detail=f"'{printable(text)}' is empty or has control characters, which offline editing refuses"
        )
    return '"' + text.replace('"', '""') + '"'


def spelled(path: str) -> str:
    """A guest's path as one word. Raises `errors.UsageError`."""
    parts = path.split("/")[1:]
    word = quoted(path)
    if not path.startswith("/") or (path != "/" and any(each in ("", ".", "..") for each in parts)):
        raise errors.UsageError(detail=f"{path!r} is no absolute path of a file in the guest")
    if len(path.encode()) > PATH_LIMIT or max(len(each.encode()) for each in parts) > NAME_LIMIT:
        raise errors.UsageError(detail=f"{printable(path, 80)!r} is too long a name")
    return word


# -- the superblock ---------------------------------------------------------------------------------------------------


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
    raw = os.pread(descriptor, _SUPERBLOCK_SIZE, _SUPERBLOCK_AT)
    if len(raw) < _SUPERBLOCK_SIZE or struct.unpack_from("<H", raw, 0x38)[0] != _MAGIC:
        return "it is not an ext4 file system"
    blocks, shift = struct.unpack_from("<I", raw, 0x04)[0], struct.unpack_from("<I", raw, 0x18)[0]
    incompatible, read_only_compatible = struct.unpack_from("<II", raw, 0x60)
    blocks |= struct.unpack_from("<I", raw, 0x150)[0] << 32 if incompatible & 0x80 else 0
    if shift > 6 or not blocks or blocks << (10 + shift) > os.fstat(descriptor).st_size:
        return "the file is shorter than the file system in it"
    if incompatible & (_JOURNAL_DEVICE | _ENCRYPTED | _CASEFOLDED | _INLINE_DATA):
        return "it has features that are not known here: an external journal, encryption, casefold or inline data"
    if write and read_only_compatible & _QUOTA:
        return "it keeps quotas, which debugfs would leave as they are"
    state, orphan = struct.unpack_from("<H", raw, 0x3A)[0], struct.unpack_from("<I", raw, 0xE8)[0]
    if incompatible & _RECOVER or not state & _CLEAN or orphan or read_only_compatible & _ORPHANS:
        return "it was not unmounted, or is mounted now; 'e2fsck -f' replays its journal"
    return "it is marked as damaged; 'e2fsck -f' repairs it" if state & _ERRORS else None


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
