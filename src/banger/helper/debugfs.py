"""A conversation with debugfs(8): questions in, answers out, nothing taken on trust. Nothing is started here.

One process answers a batch of questions, each one or more commands, from a script on its stdin. debugfs ends with
status 0 or with an odd count whatever went wrong, goes on after every failure, and writes errors to stderr without
saying which command they belong to. Therefore a marker follows each question, a word that no command has: debugfs
repeats it on stdout and complains of it on stderr, which cuts both streams into answers. The word is random, so that
nothing in a file system can pretend to be one. An answer that is missing, a process that was killed and a word after
the last marker are errors; what counts as success of a command is for the caller to say, and to verify.

What would be misread is refused before it is asked: debugfs ends a command at a carriage return or after 8191 bytes,
and takes a name of 256 bytes for an empty one. `unfit` judges a superblock first, since debugfs edits a file system
whose journal has not been replayed, or that is mounted, without a word.

A plan (`Plan`) is what wants to be asked and makes something of the answers; whoever drives it starts the process, in
whichever way and as whichever user.
"""

import secrets
import struct
from collections.abc import Generator, Sequence
from typing import NamedTuple, TypeVar

OUTPUT_LIMIT = 64 << 20
MEMORY_LIMIT = 2 << 30
SECONDS = 120.0
LINE_LIMIT = 8000
NAME_LIMIT, PATH_LIMIT = 255, 4095
NOT_FOUND = b"File not found by ext2_lookup"
ENVIRONMENT = {"DEBUGFS_PAGER": "__none__"}

SUPERBLOCK_AT, SUPERBLOCK_SIZE = 1024, 1024
_MAGIC = 0xEF53
_CLEAN, _ERRORS = 1, 2
_JOURNAL_DEVICE, _RECOVER, _ENCRYPTED, _CASEFOLDED = 0x8, 0x4, 0x10000, 0x20000
_INLINE_DATA = 0x8000
_ORPHANS, _QUOTA = 0x10000, 0x100


class Unspeakable(Exception):
    """What was asked for cannot be said to debugfs, or to no file system at all."""


class Unusable(Exception):
    """The file system must not be touched, or debugfs could not finish. The words may be the file system's own."""


class NoRoom(Exception):
    """The host's disk is full."""


class Missing(Exception):
    """There is no such path in the file system. ``kind`` is what it should have been."""

    def __init__(self, path: str, kind: str = "file") -> None:
        super().__init__(f"there is no {kind} {path!r}")
        self.path, self.kind = path, kind


class Answer(NamedTuple):
    """What was said to one question: stdout without the repeated commands, stderr line by line."""

    output: bytes
    complaints: list[bytes]


class Asked(NamedTuple):
    """A batch of questions for one process. ``limit`` bounds what it may say."""

    questions: Sequence[Sequence[str]]
    write: bool = False
    limit: int = OUTPUT_LIMIT


Made = TypeVar("Made")
Plan = Generator[Asked, list[Answer], Made]
"""Yields what to ask, is sent the answers, and returns what it was for."""


class Script:
    """A batch of questions as debugfs reads it, and the way back from what it said. Raises `Unspeakable`."""

    def __init__(self, questions: Sequence[Sequence[str]]) -> None:
        self._questions = questions
        self._token = f"mark-{secrets.token_hex(8)}"
        lines: list[str] = []
        for number, commands in enumerate(questions):
            lines += [*commands, f"{self._token}-{number}"]
        long = next((each for each in lines if len(each.encode()) > LINE_LIMIT), None)
        if long is not None:
            raise Unspeakable(f"{long[:80]} is too long for debugfs")
        self.text = "".join(f"{each}\n" for each in lines).encode()

    def answers(self, status: int, stdout: bytes, stderr: bytes) -> list[Answer]:
        """Cut the two streams at the markers. Raises `Unusable`, `NoRoom`."""
        banner, _, said = stderr.partition(b"\n")
        if not banner.startswith(b"debugfs ") or status < 0:
            raise _failure(status, stderr)
        output = stdout
        found = []
        for number, commands in enumerate(self._questions):
            mark = f"{self._token}-{number}".encode()
            part, marked, output = output.partition(b"debugfs: " + mark + b"\n")
            complaint, complained, said = said.partition(mark)
            if not (marked and complained):
                raise _failure(status, stderr)
            if not part.startswith(f"debugfs: {commands[0]}\n".encode()):  # it tells of checksums that it will ignore
                raise _failure(status, part.partition(b"debugfs: ")[0])
            said = said.partition(b"\n")[2]
            lines = complaint.split(b"\n")[:-1]  # the last one complains of the marker
            found.append(Answer(_without_echoes(part, commands), [line for line in lines if line.strip()]))
        if said.strip() or output.strip():  # a failure to write what was changed comes last
            raise _failure(status, said + output)
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


def _failure(status: int, stderr: bytes) -> Exception:
    said = [line for line in stderr.split(b"\n") if line.strip() and b"mark-" not in line]
    told = [line for line in said if not line.startswith(b"debugfs 1")]
    if any(b"No space left" in line for line in told):
        return NoRoom()
    how = f"killed by signal {-status}" if status < 0 else "failed"
    return Unusable(f"debugfs {how}: {words(told) or 'no message'}")


def words(lines: Sequence[bytes]) -> str:
    """The first of what debugfs said, as text."""
    return b" / ".join(lines[:3]).decode("utf-8", "backslashreplace")


def quoted(text: str) -> str:
    """``text`` as one word of a command. Raises `Unspeakable` for what debugfs would read as something else."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unspeakable(f"{text!r} is not UTF-8, which offline editing needs") from None
    if not text or any(ord(each) < 0x20 or ord(each) == 0x7F for each in text):
        raise Unspeakable(f"'{text}' is empty or has control characters, which offline editing refuses")
    return '"' + text.replace('"', '""') + '"'


def spelled(path: str) -> str:
    """A guest's path as one word. Raises `Unspeakable`."""
    parts = path.split("/")[1:]
    word = quoted(path)
    if not path.startswith("/") or (path != "/" and any(each in ("", ".", "..") for each in parts)):
        raise Unspeakable(f"{path!r} is no absolute path of a file in the guest")
    if len(path.encode()) > PATH_LIMIT or max(len(each.encode()) for each in parts) > NAME_LIMIT:
        raise Unspeakable(f"{path[:80]!r} is too long a name")
    return word


def is_ext4(raw: bytes) -> bool:
    """Whether these bytes are a superblock."""
    return len(raw) == SUPERBLOCK_SIZE and bool(struct.unpack_from("<H", raw, 0x38)[0] == _MAGIC)


def unfit(raw: bytes, size: int, *, write: bool) -> str | None:
    """Why the file system whose superblock is ``raw``, on ``size`` bytes, is none to work on."""
    if not is_ext4(raw):
        return "it is not an ext4 file system"
    blocks, shift = struct.unpack_from("<I", raw, 0x04)[0], struct.unpack_from("<I", raw, 0x18)[0]
    incompatible, read_only_compatible = struct.unpack_from("<II", raw, 0x60)
    blocks |= struct.unpack_from("<I", raw, 0x150)[0] << 32 if incompatible & 0x80 else 0
    if shift > 6 or not blocks or blocks << (10 + shift) > size:
        return "the file is shorter than the file system in it"
    if incompatible & (_JOURNAL_DEVICE | _ENCRYPTED | _CASEFOLDED | _INLINE_DATA):
        return "it has features that are not known here: an external journal, encryption, casefold or inline data"
    if write and read_only_compatible & _QUOTA:
        return "it keeps quotas, which debugfs would leave as they are"
    state, orphan = struct.unpack_from("<H", raw, 0x3A)[0], struct.unpack_from("<I", raw, 0xE8)[0]
    if incompatible & _RECOVER or not state & _CLEAN or orphan or read_only_compatible & _ORPHANS:
        return "it was not unmounted, or is mounted now; 'e2fsck -f' replays its journal"
    return "it is marked as damaged; 'e2fsck -f' repairs it" if state & _ERRORS else None
