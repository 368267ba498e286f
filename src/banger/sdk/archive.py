"""Tar streams between a directory of this host and a guest: `pack` for the way in, `unpack` for the way out.

What comes out of a guest is hostile. Invariants of `unpack`:

- nothing outside the destination is created, changed, removed or read, whatever names and links the stream holds:
  every step of a name is opened below the one before it and never through a symbolic link;
- only directories, regular files, symbolic links and hard links to files of the same stream are made, all owned by
  the calling user, without setuid, setgid and sticky bits;
- the number of entries and bytes is limited, and memory is constant but for the numbers of the inodes made.

Symbolic links are written as they are; nothing here follows them. A stream that breaks off, or breaks a rule, ends in
`errors.UnsafeArchive`, and what came before it stays.
"""

import contextlib
import errno
import os
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from banger import errors
from banger.text import printable

BLOCK = 512
CHUNK = 256 * 1024
NAME_LIMIT = 4096
DEPTH_LIMIT = 256
EXTENSION_LIMIT = 64 * 1024
"""The largest extended header: a path and a link target fit many times."""

Rename = Callable[[str], str]
"""Gives the name below the destination for a name in the stream; the result is judged like any other."""


class Limits(NamedTuple):
    """What a guest may send at most."""

    entries: int = 1_000_000
    size: int = 1 << 40


class Written(NamedTuple):
    """What came out: number of entries, and bytes of files."""

    entries: int
    size: int


# -- in ---------------------------------------------------------------------------------------------------------------


def pack(source: str, arcname: str, owner: tuple[int, int] | None = (0, 0)) -> Iterator[bytes]:
    """A tar stream of ``source``, named ``arcname`` in it; ``owner`` None keeps the numeric owners of the host.

    Symbolic links are not followed, except where ``source`` itself is to be: the caller resolves that.
    """
    links: dict[tuple[int, int], str] = {}
    yield from _pack_one(source, arcname.strip("/") or ".", owner, links)
    yield bytes(2 * BLOCK)


def _pack_one(
    path: str, name: str, owner: tuple[int, int] | None, links: dict[tuple[int, int], str]
) -> Iterator[bytes]:
    status = os.lstat(path)
    info = _header(name, status, owner)
    if stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
        yield _header_bytes(info)
        with os.scandir(path) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                yield from _pack_one(entry.path, f"{name}/{entry.name}", owner, links)
    elif stat.S_ISLNK(status.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
        yield _header_bytes(info)
    elif stat.S_ISREG(status.st_mode):
        earlier = links.setdefault((status.st_dev, status.st_ino), name) if status.st_nlink > 1 else name
        if earlier != name:
            info.type, info.linkname = tarfile.LNKTYPE, earlier
            yield _header_bytes(info)
        else:
            yield from _pack_file(path, info)
    elif not stat.S_ISSOCK(status.st_mode):
        raise errors.UsageError(detail=f"{printable(path)} is neither a file nor a directory nor a link")


def _header(name: str, status: os.stat_result, owner: tuple[int, int] | None) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode = stat.S_IMODE(status.st_mode)
    info.uid, info.gid = owner or (status.st_uid, status.st_gid)
    seconds, fraction = divmod(status.st_mtime_ns, 1_000_000_000)
    info.mtime = max(seconds, 0)
    if fraction and seconds >= 0:
        info.pax_headers = {"mtime": f"{seconds}.{fraction:09}"}
    return info


def _header_bytes(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _pack_file(path: str, info: tarfile.TarInfo) -> Iterator[bytes]:
    """The size is that of the beginning: a file that grows meanwhile is cut, one that shrinks filled with zeros."""
    with open(path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW)) as file:
        left = info.size = os.fstat(file.fileno()).st_size
        yield _header_bytes(info)
        while left:
            data = file.read(min(left, CHUNK)) or bytes(min(left, CHUNK))
            left -= len(data)
            yield data
    yield bytes(-info.size % BLOCK)


# -- out --------------------------------------------------------------------------------------------------------------


def unpack(chunks: Iterable[bytes], dest: str, rename: Rename | None = None, limits: Limits | None = None) -> Written:
    """Write a tar stream below the existing directory ``dest``.

    Raises `errors.UnsafeArchive`, `errors.DiskFull`, and OSError for what the user may not write.
    """
    root = os.open(dest, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    tree = _Tree(root)
    try:
        reader = Reader(chunks)
        total, count = 0, 0
        bounds = limits or Limits()
        while (entry := reader.next_entry()) is not None:
            total, count = total + entry.size, count + 1
            if count > bounds.entries or total > bounds.size:
                raise refused(entry.name, "the guest sends more than this host takes")
            _extract(tree, reader, entry, rename or (lambda name: name))
        tree.leave([])
        reader.drain(bounds.size - total)
        return Written(count, total)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise errors.DiskFull(path=dest) from None
        raise
    finally:
        tree.close()


def refused(name: str, reason: str) -> errors.UnsafeArchive:
    return errors.UnsafeArchive(entry=printable(name), reason=reason)


class _Entry(NamedTuple):
    name: str
    type: bytes
    size: int
    mode: int
    mtime_ns: int
    linkname: str


def _extract(tree: "_Tree", reader: "Reader", entry: _Entry, rename: Rename) -> None:
    parts = judge(rename(entry.name))
    if entry.type == tarfile.DIRTYPE:
        tree.directory(parts, entry)
    elif not parts:
        raise refused(entry.name, "only a directory can stand for the destination itself")
    elif entry.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE):
        tree.file(parts, entry, reader.data(entry))
        return
    elif entry.type == tarfile.SYMTYPE:
        tree.symlink(parts, entry)
    elif entry.type == tarfile.LNKTYPE:
        tree.link(parts, judge(rename(entry.linkname)), entry)
    else:
        raise refused(entry.name, "a device or something else that is no file, directory or link")
    for _ in reader.data(entry):
        pass


def judge(name: str) -> list[str]:
    """The steps of a name. Raises `errors.UnsafeArchive` for one that could lead out of the destination."""
    if name.startswith("/"):
        raise refused(name, "an absolute name")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise refused(name, "a name that leads out of the destination")
    if len(parts) > DEPTH_LIMIT or len(name) > NAME_LIMIT:
        raise refused(name, "a name that is too deep or too long")
    return parts


class _Tree:
    """The destination: directories that are open now, the innermost last. Their modes and times are set on leaving.

    The files of the stream are known by device and inode: only they may be given a second name.
    """

    def __init__(self, root: int) -> None:
        self._open: list[tuple[str, int, _Entry | None]] = [("", root, None)]
        self._made: set[tuple[int, int]] = set()

    def close(self) -> None:
        for _, descriptor, _ in self._open:
            os.close(descriptor)
        self._open.clear()

    def leave(self, parts: list[str]) -> None:
        """Close the directories that ``parts`` does not lead through."""
        keep = 1
        while keep < len(self._open) and keep <= len(parts) and self._open[keep][0] == parts[keep - 1]:
            keep += 1
        while len(self._open) > keep:
            _, descriptor, entry = self._open.pop()
            if entry is not None:
                os.fchmod(descriptor, (entry.mode & 0o777) | 0o700)
                os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))
            os.close(descriptor)

    def _enter(self, parts: list[str]) -> int:
        """The descriptor of a directory; what is missing on the way is made."""
        self.leave(parts)
        for part in parts[len(self._open) - 1 :]:
            parent = self._open[-1][1]
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=parent)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                descriptor = os.open(part, flags, dir_fd=parent)
            except NotADirectoryError:  # a symbolic link, too, with these flags
                raise refused("/".join(parts), "a link or a file stands where a directory is needed") from None
            self._open.append((part, descriptor, None))
        return self._open[-1][1]

    def _vacate(self, parts: list[str], name: str) -> int:
        """Remove the file or link of this name, and give its directory."""
        directory = self._enter(parts[:-1])
        try:
            os.unlink(parts[-1], dir_fd=directory)
        except FileNotFoundError:
            pass
        except (IsADirectoryError, PermissionError):
            if stat.S_ISDIR(os.lstat(parts[-1], dir_fd=directory).st_mode):
                raise refused(name, "there is a directory of this name") from None
            raise
        return directory

    def directory(self, parts: list[str], entry: _Entry) -> None:
        descriptor = self._enter(parts)
        if parts:
            os.fchmod(descriptor, 0o700)
            self._open[-1] = (parts[-1], descriptor, entry)

    def file(self, parts: list[str], entry: _Entry, data: Iterator[memoryview]) -> None:
        directory = self._vacate(parts, entry.name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(parts[-1], flags, 0o600, dir_fd=directory)
        try:
            for view in data:
                while view:
                    view = view[os.write(descriptor, view) :]
            os.fchmod(descriptor, entry.mode & 0o777)
            os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))
            status = os.fstat(descriptor)
            self._made.add((status.st_dev, status.st_ino))
        finally:
            os.close(descriptor)

    def symlink(self, parts: list[str], entry: _Entry) -> None:
        directory = self._vacate(parts, entry.name)
        if not entry.linkname or "\0" in entry.linkname:
            raise refused(entry.name, "a symbolic link to nothing")
        os.symlink(entry.linkname, parts[-1], dir_fd=directory)
        os.utime(parts[-1], ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=directory, follow_symlinks=False)

    def link(self, parts: list[str], target: list[str], entry: _Entry) -> None:
        """A second name for a file. The way to the first is walked again, so a link on it is noticed."""
        if not target or target == parts:
            raise refused(entry.name, "a hard link to itself or to the destination")
        source = os.dup(self._enter(target[:-1]))
        try:
            status = os.lstat(target[-1], dir_fd=source)
            if not stat.S_ISREG(status.st_mode) or (status.st_dev, status.st_ino) not in self._made:
                raise refused(entry.name, "a hard link to something that is no file of this stream")
            directory = self._vacate(parts, entry.name)
            os.link(target[-1], parts[-1], src_dir_fd=source, dst_dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            raise refused(entry.name, "a hard link to a file that the stream did not bring") from None
        finally:
            os.close(source)


class Reader:
    """Tar entries out of pieces of any size; holds one piece and one header."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._piece = memoryview(b"")

    def _some(self, most: int) -> memoryview:
        """Between 1 and ``most`` bytes, none at the end of the stream."""
        while not self._piece:
            piece = next(self._chunks, None)
            if piece is None:
                return memoryview(b"")
            self._piece = memoryview(piece)
        taken, self._piece = self._piece[:most], self._piece[most:]
        return taken

    def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self._some(size - len(parts))
            if not part:
                raise refused("the archive", "it ends too early")
            parts += part
        return bytes(parts)

    def data(self, entry: _Entry) -> Iterator[memoryview]:
        """The content of the entry that was read last; must be exhausted before the next."""
        left = entry.size
        while left:
            part = self._some(min(left, CHUNK))
            if not part:
                raise refused("the archive", "it ends too early")
            left -= len(part)
            yield part
        self._exactly(-entry.size % BLOCK)

    def drain(self, limit: int) -> None:
        """Take what follows the end of the archive: it is padding, and not endless."""
        while part := self._some(CHUNK):
            limit -= len(part)
            if limit < 0:
                raise refused("the archive", "the guest sends more than this host takes")

    def next_entry(self) -> _Entry | None:
        """The next file, directory or link with all that its extended headers say; None at the end."""
        records: dict[str, bytes] = {}
        while True:
            block = self._exactly(BLOCK)
            if not any(block):
                return None
            try:
                info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            except tarfile.HeaderError:
                raise refused("the archive", "this is not a tar stream") from None
            if info.size < 0:
                raise refused(info.name, "a negative size")
            if info.type not in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
                return _entry(info, records)
            records.update(self._extension(info))

    def _extension(self, info: tarfile.TarInfo) -> dict[str, bytes]:
        if info.size > EXTENSION_LIMIT:
            raise refused("the archive", "an extended header that is too long")
        content = self._exactly(info.size)
        self._exactly(-info.size % BLOCK)
        if info.type == tarfile.XGLTYPE:
            return {}
        if info.type == tarfile.XHDTYPE:
            return dict(_records(content))
        return {"path" if info.type == tarfile.GNUTYPE_LONGNAME else "linkpath": content.rstrip(b"\0")}


def _records(content: bytes) -> Iterator[tuple[str, bytes]]:
    """The records of a PAX header: "LENGTH KEY=VALUE\\n", the length counting all of it."""
    while content:
        digits, blank, _ = content[:20].partition(b" ")
        length = int(digits) if blank and digits.isdigit() else 0
        record = content[len(digits) + 1 : length]
        key, equals, value = record.partition(b"=")
        if not equals or not record.endswith(b"\n") or length > len(content):
            raise refused("the archive", "a malformed extended header")
        yield key.decode("utf-8", "replace"), value[:-1]
        content = content[length:]


def _entry(info: tarfile.TarInfo, records: dict[str, bytes]) -> _Entry:
    if info.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse") for key in records):
        raise refused(info.name, "a sparse file")
    name = os.fsdecode(records["path"]) if "path" in records else info.name
    is_file = info.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
    old_directory = info.type == tarfile.AREGTYPE and name.endswith("/")
    try:
        size = int(records["size"]) if "size" in records else info.size
        seconds, _, fraction = records.get("mtime", str(int(info.mtime)).encode()).decode("ascii").partition(".")
        mtime_ns = int(seconds) * 1_000_000_000
        mtime_ns += int(fraction[:9].ljust(9, "0") or "0") * (-1 if seconds.startswith("-") else 1)
        if size < 0 or abs(mtime_ns) >= 1 << 62:
            raise ValueError
    except ValueError:
        raise refused(name, "a malformed size or time") from None
    linkname = os.fsdecode(records["linkpath"]) if "linkpath" in records else info.linkname
    kind = tarfile.DIRTYPE if old_directory else info.type
    return _Entry(name, kind, size if is_file else 0, info.mode, mtime_ns, linkname)
