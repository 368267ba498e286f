"""A git index (gitformat-index(5)) of a commit's files, made here for a repository elsewhere.

Where a working file is as the commit has it, its size and time are entered, so that git there need not read it again to
know. The guest's configuration (`banger.workspace.state`) has git compare no more than these two.
"""

import hashlib
import os
import stat
import struct
from collections.abc import Mapping

from banger.workspace.listing import Blob, Entry, Tracked

_ENTRY = struct.Struct(">10I")
_SKIP_WORKTREE = 0x4000
_EXTENDED = 0x4000
_STAGE = 0x3000
_NAME = 0xFFF


def build(
    files: Mapping[bytes, Blob], clean: Mapping[bytes, Entry], skipped: frozenset[bytes], object_format: str = "sha1"
) -> bytes:
    """The index of ``files``. ``clean`` has those that are unchanged; ``skipped`` ones are absent on purpose."""
    parts = [struct.pack(">4sII", b"DIRC", 3 if skipped else 2, len(files))]
    for name in sorted(files):
        blob, entry = files[name], clean.get(name)
        seconds, size = (entry.mtime_ns // 1_000_000_000, entry.size) if entry else (0, 0)
        flags = min(len(name), _NAME) | (_EXTENDED if name in skipped else 0)
        fixed = _ENTRY.pack(0, 0, seconds & 0xFFFFFFFF, 0, 0, 0, blob.mode, 0, 0, size & 0xFFFFFFFF)
        record = fixed + bytes.fromhex(blob.oid) + flags.to_bytes(2, "big")
        record += _SKIP_WORKTREE.to_bytes(2, "big") if name in skipped else b""
        record += name
        parts.append(record + bytes(8 - len(record) % 8))
    content = b"".join(parts)
    return content + hashlib.new(object_format, content).digest()


def load(data: bytes, object_format: str = "sha1") -> dict[bytes, Blob] | None:
    """The files of an index that a guest sends; None for one with more in it than files, or in another form.

    Its digest is not looked at: what is read wrongly is what the guest made so.
    """
    if data[:4] != b"DIRC" or int.from_bytes(data[4:8], "big") not in (2, 3):
        return None
    found: dict[bytes, Blob] = {}
    at, oid = 12, hashlib.new(object_format).digest_size
    for _ in range(int.from_bytes(data[8:12], "big")):
        flags = int.from_bytes(data[at + 40 + oid : at + 42 + oid], "big")
        extended = int.from_bytes(data[at + 42 + oid : at + 44 + oid], "big") if flags & _EXTENDED else 0
        begin = at + (44 if flags & _EXTENDED else 42) + oid
        end = data.find(b"\0", begin)
        if end < 0 or flags & _STAGE or extended & ~_SKIP_WORKTREE:
            return None
        found[data[begin:end]] = Blob(
            int.from_bytes(data[at + 24 : at + 28], "big"), data[at + 40 : at + 40 + oid].hex()
        )
        at += (end - at) + 8 - (end - at) % 8
    return found


def clean(
    files: Mapping[bytes, Blob], known: Mapping[bytes, Tracked | None], there: Mapping[bytes, Entry], written: int
) -> dict[bytes, Entry]:
    """Which files are as the commit has them, by what this host's index knows, without reading any.

    ``written`` is when that index was, in nanoseconds: what was changed at that time or later may be as it was or not.
    """
    found = {}
    for name, blob in files.items():
        entry, at = there.get(name), known.get(name)
        if entry is None or at is None or (at.mode, at.oid) != (blob.mode, blob.oid):
            continue
        if untouched(at, entry, written):
            found[name] = entry
    return found


def untouched(known: Tracked, there: Entry, written: int) -> bool:
    """Whether a file is as this host's index knows it; ``written`` as in `clean`."""
    same = there.mtime_ns == known.mtime_ns < written and there.size & 0xFFFFFFFF == known.size
    return same and kind(there.mode) == known.mode


def blob_id(content: bytes, object_format: str = "sha1") -> str:
    """What git calls a file of that content."""
    return hashlib.new(object_format, b"blob %d\0%s" % (len(content), content)).hexdigest()


def kind(mode: int) -> int:
    """A mode as git keeps it."""
    if stat.S_ISLNK(mode):
        return 0o120000
    return 0o100755 if mode & 0o100 else 0o100644


def written(path: str) -> int:
    """When an index was written; 0 where there is none."""
    try:
        return os.stat(path, follow_symlinks=False).st_mtime_ns
    except FileNotFoundError:
        return 0
