"""An entry of a layer, and the one place where names are judged.

An entry is refused, by name, when its name is absolute, has a ``..``, a NUL, a component over 255 bytes or more than
4096 bytes in all, when it is a whiteout of nothing, or when it carries more attributes than an inode holds.

Whiteouts (OCI image-spec, layer.md): ``.wh.NAME`` hides NAME of older layers, ``.wh..wh..opq`` all that older layers
have in its directory; other names that begin with ``.wh..wh.`` are bookkeeping of old tools and mean nothing.
"""

from banger.disk.ext4 import xattr
from banger.disk.ext4.node import Content
from banger.oci import tar

FILE, FOLDER, SYMLINK, HARD_LINK, DEVICE, WHITEOUT, OPAQUE = range(7)

NAME_LIMIT, PATH_LIMIT = 255, 4096
TARGET_LIMIT = 4095
_WHITEOUT = b".wh."
_BOOKKEEPING = b".wh..wh."
_OPAQUE = b".wh..wh..opq"

_KINDS = {
    tar.REGULAR: FILE, tar.DIRECTORY: FOLDER, tar.SYMLINK: SYMLINK, tar.HARD_LINK: HARD_LINK,
    tar.CHARACTER: DEVICE, tar.BLOCK_DEVICE: DEVICE, tar.FIFO: DEVICE,
}  # fmt: skip


class Entry:
    """One entry of a layer, its name judged and its data placed."""

    __slots__ = ("content", "gid", "kind", "link", "mode", "mtime", "path", "stored", "uid", "xattrs")

    def __init__(self, path: bytes, kind: int, header: tar.Header) -> None:
        self.path = path
        self.kind = kind
        self.mode = header.mode
        self.uid = header.uid
        self.gid = header.gid
        self.mtime = header.mtime
        self.link = header.link
        self.xattrs = header.xattrs
        self.stored = header.stored
        """Bytes of data in the archive."""
        self.content: Content | None = None

    @property
    def metadata(self) -> int:
        """Bytes of its names and attributes."""
        count = len(self.path) + len(self.link)
        if self.xattrs:
            count += sum(len(name) + len(value) for name, value in self.xattrs.items())
        return count


class Judge:
    """Decides what an entry's name means."""

    def __init__(self, strip: str, prefix: str) -> None:
        self._strip = strip.strip("/").encode()
        self._prefix = prefix.strip("/").encode()
        self._folders: dict[bytes, bytes] = {}
        """Directories of entries seen, as they were spelled and as they are; most entries share theirs."""

    def entry(self, header: tar.Header) -> Entry | None:
        """The entry, or None when it means nothing here. Raises `tar.Refused`."""
        name = header.name
        folder, _, last = name.rpartition(b"/")
        known = self._folders.get(folder)
        kind = _KINDS[header.kind]
        if known is not None and _is_plain(last) and len(name) <= PATH_LIMIT:
            path = known + last
        else:
            found = self._moved(judged(name, name))
            if found is None:
                return None
            path = found
            if _WHITEOUT in path:
                marked = _whiteout(path, name)
                if marked is not None:
                    kind, path = marked
                    return Entry(path, kind, header) if kind >= 0 else None
            elif folder and last and path.endswith(b"/" + last) and not self._strip:
                self._folders[folder] = path[: -len(last)]
        if not path and kind != FOLDER:
            raise tar.Refused(header.name, "the root can only be a directory")
        if header.xattrs:
            header.xattrs = _attributes(header)
        if kind == HARD_LINK:
            target = self._moved(judged(header.link.lstrip(b"/"), header.name))
            header.link = b"" if target is None else target
        elif kind == SYMLINK and not (0 < len(header.link) <= TARGET_LIMIT and b"\0" not in header.link):
            raise tar.Refused(header.name, "a symbolic link needs a target of 1 to 4095 bytes")
        return Entry(path, kind, header)

    def _moved(self, path: bytes) -> bytes | None:
        if self._strip:
            if path != self._strip and not path.startswith(self._strip + b"/"):
                return None
            path = path[len(self._strip) + 1 :]
        if self._prefix:
            path = self._prefix + b"/" + path if path else self._prefix
        return path


def _is_plain(name: bytes) -> bool:
    """Whether a name can only mean itself."""
    return 0 < len(name) <= NAME_LIMIT and name[0] != 46 and b"\0" not in name  # 46: a dot


def judged(name: bytes, entry: bytes) -> bytes:
    """``name`` without ``.`` and doubled slashes; the root is empty. Raises `tar.Refused`."""
    if name.startswith(b"/"):
        raise tar.Refused(entry, "an absolute name")
    if len(name) > PATH_LIMIT:
        raise tar.Refused(entry, "a name of more than 4096 bytes")
    parts = name.split(b"/")
    if b"" in parts or b"." in parts:
        parts = [part for part in parts if part and part != b"."]
        name = b"/".join(parts)
    if b".." in parts:
        raise tar.Refused(entry, "a name with '..'")
    if b"\0" in name:
        raise tar.Refused(entry, "a name with a zero byte")
    if len(name) > NAME_LIMIT and max(map(len, parts)) > NAME_LIMIT:
        raise tar.Refused(entry, "a name with a component of more than 255 bytes")
    return name


def _whiteout(path: bytes, name: bytes) -> tuple[int, bytes] | None:
    """What a path with a whiteout in it means: kind (negative: nothing) and what it acts on; None when it has none."""
    folder, _, last = path.rpartition(b"/")
    if any(part.startswith(_WHITEOUT) for part in folder.split(b"/")):
        if _BOOKKEEPING in folder:
            return -1, b""
        raise tar.Refused(name, "a name below a whiteout")
    if not last.startswith(_WHITEOUT):
        return None
    if last == _OPAQUE:
        return OPAQUE, folder
    if last.startswith(_BOOKKEEPING):
        return -1, b""
    hidden = last[len(_WHITEOUT) :]
    if hidden in (b"", b".", b".."):
        raise tar.Refused(name, "a whiteout of nothing that a layer may remove")
    return WHITEOUT, folder + b"/" + hidden if folder else hidden


def _attributes(header: tar.Header) -> dict[bytes, bytes] | None:
    """The attributes that ext4 can store; Linux has no others. Raises `tar.Refused`."""
    kept = {name: value for name, value in (header.xattrs or {}).items() if xattr.known(name)}
    try:
        fits = xattr.fits(kept)
    except ValueError as fault:
        raise tar.Refused(header.name, str(fault)) from None
    if not fits:
        raise tar.Refused(header.name, "its extended attributes are too large")
    return kept or None
