"""Reads an ext4 image back with e2fsprogs alone: e2fsck for its health, debugfs for what is in it.

    image = Ext4Image(path, tmp_path)
    image.check()                                   # e2fsck -fn finds nothing
    found = image.read()                            # {b"etc/passwd": File(kind="regular", mode=0o644, ...), ...}

Nothing is mounted, and no root is needed. debugfs is driven by a script, one process for each question.
"""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

_PIECE = 1 << 20
_LISTED = re.compile(rb"/(\d+)/(\d{6})/(-?\d+)/(-?\d+)/(.+?)/(\d*)/\n", re.DOTALL)
_TIME = re.compile(rb"mtime: 0x([0-9a-f]{8}):([0-9a-f]{8})")
_XATTR = re.compile(rb"^  (\S+) \((\d+)\)", re.MULTILINE)


class File(NamedTuple):
    """One name in the image. ``data`` holds a file's bytes or a symbolic link's target."""

    kind: str
    mode: int
    uid: int
    gid: int
    mtime: int
    links: int
    inode: int
    data: bytes
    xattrs: dict[str, bytes]


class Ext4Image:
    """An image file; ``scratch`` is a directory for what debugfs takes out of it."""

    def __init__(self, path: Path | str, scratch: Path) -> None:
        self.path = str(path)
        self._scratch = scratch / "debugfs"
        self._scratch.mkdir(exist_ok=True)

    def check(self) -> None:
        """e2fsck finds nothing to repair, in a full check that changes nothing."""
        done = subprocess.run([_tool("e2fsck"), "-fn", self.path], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr

    def header(self) -> dict[str, str]:
        """The superblock as dumpe2fs prints it."""
        done = subprocess.run([_tool("dumpe2fs"), "-h", self.path], capture_output=True, text=True, check=True)
        pairs = (line.partition(":") for line in done.stdout.splitlines())
        return {key.strip(): value.strip() for key, _, value in pairs}

    def read(self, *, xattr_values: bool = True) -> dict[bytes, File]:
        """Every name but lost+found, and the root as the empty name."""
        names = self._names()
        inodes = sorted({inode for inode, _ in names.values()})
        told = dict(zip(inodes, self._ask([f"stat <{inode}>" for inode in inodes]), strict=True))
        wanted = {inode for inode, mode in names.values() if mode >> 12 in (8, 10)}
        self._ask([f"dump <{inode}> {self._scratch}/{inode}" for inode in sorted(wanted)])
        xattrs = self._xattrs(told) if xattr_values else {}
        found = {}
        for name, (inode, mode) in names.items():
            found[name] = self._file(inode, mode, told[inode], xattrs.get(inode, {}))
        return found

    def stat(self, name: str) -> str:
        """What debugfs says of one name; for names that `read` takes too long to come to."""
        return self._ask([f'stat "/{name}"'])[0].decode(errors="replace")

    def names(self) -> set[bytes]:
        """Every name but lost+found, and nothing else; for images with very many."""
        return set(self._names())

    def _names(self) -> dict[bytes, tuple[int, int]]:
        found = {b"": (2, 0o040755)}
        level = {b"": 2}
        while level:
            below: dict[bytes, int] = {}
            answers = self._ask([f"ls -p <{inode}>" for inode in level.values()])
            for folder, answer in zip(level, answers, strict=True):
                for inode, mode, _, _, name, _ in _LISTED.findall(answer + b"\n"):
                    path = folder + b"/" + name if folder else name
                    if name in (b".", b"..") or path == b"lost+found":
                        continue
                    found[path] = (int(inode), int(mode, 8))
                    if int(mode, 8) >> 12 == 4:
                        below[path] = int(inode)
            level = below
        return found

    def _file(self, inode: int, mode: int, told: bytes, xattrs: dict[str, bytes]) -> File:
        kind = _one(rb"Type: (\w+)", told).decode()
        seconds, extra = (int(each, 16) for each in (_TIME.search(told) or _missing(told)).groups())
        seconds = seconds - ((seconds & 0x80000000) << 1) + ((extra & 3) << 32)
        data = b""
        if kind in ("regular", "symlink"):
            data = (self._scratch / str(inode)).read_bytes()
        if b"Fast link dest" in told:
            data = _one(rb'Fast link dest: "(.*)"', told)
        return File(
            kind, int(_one(rb"Mode: +(\d+)", told), 8), _id(rb"User: +(-?\d+)", told),
            _id(rb"Group: +(-?\d+)", told), seconds * 1_000_000_000 + (extra >> 2), int(_one(rb"Links: (\d+)", told)),
            inode, data, xattrs,
        )  # fmt: skip

    def _xattrs(self, told: dict[int, bytes]) -> dict[int, dict[str, bytes]]:
        asked = []
        for inode, answer in told.items():
            part = answer.partition(b"Extended attributes:")[2]
            for number, (name, size) in enumerate(_XATTR.findall(part)):
                asked.append((inode, name.decode(), int(size), self._scratch / f"{inode}.{number}"))
        self._ask([f"ea_get -f {path} <{inode}> {name}" for inode, name, _, path in asked])
        found: dict[int, dict[str, bytes]] = {}
        for inode, name, size, path in asked:
            value = path.read_bytes() if path.exists() else b""
            if not name.startswith("system.posix_acl"):  # these are shorter on the disk
                assert len(value) == size, (inode, name, size, value)
            found.setdefault(inode, {})[name] = value
        return found

    def _ask(self, questions: list[str]) -> list[bytes]:
        """debugfs's answers, in order."""
        if not questions:
            return []
        done = subprocess.run(
            [_tool("debugfs"), "-f", "/dev/stdin", self.path],
            input="".join(f"{question}\n" for question in questions).encode(),
            capture_output=True,
            timeout=300,
        )
        answers = done.stdout.split(b"debugfs: ")[1:]
        assert len(answers) == len(questions), (done.stdout[-2000:], done.stderr[-2000:])
        return [answer.partition(b"\n")[2] for answer in answers]


_SOUND: set[bytes] = set()
"""What of `content` was checked."""


def sound(path: Path | str) -> None:
    """As `Ext4Image.check`, once for the same content. Raises FileNotFoundError; it may be removed meanwhile."""
    with open(path, "rb") as file:
        known = content(file.name)
        if known not in _SOUND:
            held = f"/proc/{os.getpid()}/fd/{file.fileno()}"
            done = subprocess.run([_tool("e2fsck"), "-fn", held], capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, f"{path}: {done.stdout[-3000:]}{done.stderr}"
            _SOUND.add(known)


def content(path: Path | str) -> bytes:
    """A digest of a file's size, of its bytes that are not holes, and of where they are."""
    found = hashlib.sha256(str(os.path.getsize(path)).encode())
    with open(path, "rb") as file, contextlib.suppress(OSError):  # ENXIO: holes alone follow
        end = 0
        while True:
            begin = os.lseek(file.fileno(), end, os.SEEK_DATA)
            end = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
            found.update(f"{begin}-{end}".encode())
            for at in range(begin, end, _PIECE):
                found.update(os.pread(file.fileno(), min(_PIECE, end - at), at))
    return found.digest()


def _id(pattern: bytes, text: bytes) -> int:
    return int(_one(pattern, text)) % (1 << 32)  # debugfs prints ids as signed numbers


def _one(pattern: bytes, text: bytes) -> bytes:
    return bytes((re.search(pattern, text, re.DOTALL if b"dest" in pattern else 0) or _missing(text)).group(1))


def _missing(text: bytes) -> "re.Match[bytes]":
    raise AssertionError(f"debugfs said something else: {text[:500]!r}")


def _tool(name: str) -> str:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin") or name
