"""A patch as ``git diff --binary`` writes it, read from a guest that may have written anything.

The grammar is closed: what it does not have ends in `errors.UnsafePatch`, so that a program which applies the patch
reads nothing in it that was not seen here. Names are taken from where they cannot be misread, and every other line
that holds them must be what git makes of them. The patch is read once, in pieces of any size; memory is bounded by
`Limits`, and not by the length of its lines. Which names may be used is for `banger.workspace.judging` to say.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, NoReturn

from banger.text import printable
from banger.workspace import binary
from banger.workspace.lines import Lines, refused
from banger.workspace.quoting import spellings, split, unquoted

LINK = "120000"
SUBMODULE = "160000"
LINK_LIMIT = 4096

_NO_NEWLINE = b" No newline at end of file"
_NOWHERE = b"/dev/null"
_MODES = (b"100644", b"100755", LINK.encode(), SUBMODULE.encode())
_KINDS = {b" ": "context", b"\n": "context", b"-": "removed", b"+": "added", b"\\": "note"}
_PERCENT = re.compile(rb"(?:100|[1-9]?[0-9])%")
_INDEX = re.compile(rb"([0-9a-f]{4,64})\.\.([0-9a-f]{4,64})(?: ([0-9]{6}))?")
_HUNK = re.compile(rb"-[0-9]{1,10}(?:,([0-9]{1,10}))? \+[0-9]{1,10}(?:,([0-9]{1,10}))? @@(?: .*)?", re.DOTALL)

_HASHES = (hashlib.sha1(b"blob 0\0", usedforsecurity=False), hashlib.sha256(b"blob 0\0"))
_EMPTY = tuple(each.hexdigest().encode() for each in _HASHES)
"""What git calls a file without content."""

Show = Callable[[str, bytes], None]
"""Is given the kind of a line (``file``, ``meta``, ``hunk``, ``context``, ``added``, ``removed``, ``note``) and the
line or, of a long one, piece after piece; the last ends in a newline."""


class Limits(NamedTuple):
    """How much a guest may send at most."""

    size: int = 1 << 30
    """Bytes of the patch, and bytes that a binary part may unfold to."""
    files: int = 200_000
    names: int = 32 << 20
    """Bytes of all names together: they are kept."""


class FileChange(NamedTuple):
    """What a patch does to one file. Names are paths below the top of the tree, unjudged."""

    status: str
    """``A`` added, ``M`` modified, ``D`` deleted, ``R`` renamed, ``C`` copied."""
    path: bytes
    """Its name afterwards; before, where it is deleted."""
    source: bytes | None = None
    """Where it is renamed or copied from."""
    mode: str | None = None
    """As git has it: ``100644``, ``100755``, ``120000`` (a link); None where the patch does not tell."""
    old_mode: str | None = None
    """Where it was another."""
    binary: bool = False
    added: int = 0
    removed: int = 0
    """Lines, of text."""
    target: bytes | None = None
    """Where a link leads that the patch makes or changes."""


def parse(chunks: Iterable[bytes], limits: Limits | None = None, show: Show | None = None) -> Iterator[FileChange]:
    """The changes of a patch, each once it has been read whole. Raises `errors.UnsafePatch`."""
    bounds = limits or Limits()
    lines = Lines(chunks, bounds.size)
    count = names = 0
    while lines.mark():
        change = _Section(lines, bounds, show).read()
        count, names = count + 1, names + len(change.path) + len(change.source or b"")
        if count > bounds.files or names > bounds.names:
            raise refused(b"the patch", f"it changes more than {bounds.files} files, or their names are too long")
        yield change


class _Section:
    """The part of a patch that is of one file."""

    def __init__(self, lines: Lines, limits: Limits, show: Show | None) -> None:
        self._lines = lines
        self._limits = limits
        self._show = show
        self._name = b"the patch"
        self._status = "M"
        self._mode: str | None = None
        self._old_mode: str | None = None
        self._before = self._after = b""
        self._binary = False
        self._counts = {"context": 0, "added": 0, "removed": 0, "note": 0}
        self._target: bytearray | None = None

    def read(self) -> FileChange:
        names = self._take(b"diff --git ", "file")
        if names is None:
            self._wrong("it is not a patch as git writes them")
        self._modes()
        moved = self._moves()
        source, path = moved or self._same(names)
        self._name = path
        if names not in _heads(source, path):
            self._wrong("its names contradict each other")
        if self._index():
            self._content(source, path)
        elif not self._old_mode and not moved:
            self._wrong("nothing is said of what changed")
        if SUBMODULE in (self._mode, self._old_mode):
            self._wrong("it is a repository of its own (a submodule)")
        return FileChange(
            status=self._status,
            path=path,
            source=source if moved else None,
            mode=self._mode,
            old_mode=self._old_mode,
            binary=self._binary,
            added=self._counts["added"],
            removed=self._counts["removed"],
            target=bytes(self._target).removesuffix(b"\n") if self._target is not None else None,
        )

    def _wrong(self, reason: str) -> NoReturn:
        raise refused(self._name, reason)

    def _take(self, beginning: bytes, kind: str = "meta") -> bytes | None:
        """What follows ``beginning`` in the next line, which has then been read; None where it begins otherwise."""
        line = self._lines.peek()
        if line is None or not line.startswith(beginning):
            return None
        self._lines.step(line)
        if self._show is not None:
            self._show(kind, line + b"\n")
        return line[len(beginning) :]

    def _need(self, beginning: bytes, kind: str = "meta") -> bytes:
        found = self._take(beginning, kind)
        if found is None:
            self._wrong(f"a line '{beginning.decode().strip()}' is missing")
        return found

    # -- the head ----------------------------------------------------------------------------------------------------

    def _modes(self) -> None:
        if (mode := self._take(b"new file mode ")) is not None:
            self._status, self._mode = "A", self._known(mode)
        elif (mode := self._take(b"deleted file mode ")) is not None:
            self._status, self._mode = "D", self._known(mode)
        elif (mode := self._take(b"old mode ")) is not None:
            self._old_mode, self._mode = self._known(mode), self._known(self._need(b"new mode "))
            if self._mode == self._old_mode or LINK in (self._mode, self._old_mode):
                self._wrong("a file does not become what it is said to become")

    def _known(self, mode: bytes) -> str:
        if mode not in _MODES:
            self._wrong(f"git has no mode {printable(mode, 20)}")
        return mode.decode()

    def _moves(self) -> tuple[bytes, bytes] | None:
        """Both names, where a file is renamed or copied."""
        similar = self._take(b"similarity index ")
        share = similar if similar is not None else self._take(b"dissimilarity index ")
        if share is not None and (self._status != "M" or not _PERCENT.fullmatch(share)):
            self._wrong("a line 'index' is not as git writes it")
        if similar is None:
            return None
        copied = self._take(b"copy from ")
        self._status, verb = ("R", b"rename") if copied is None else ("C", b"copy")
        source = self._named(self._need(b"rename from ") if copied is None else copied)
        return source, self._named(self._need(verb + b" to "))

    def _named(self, word: bytes) -> bytes:
        name = unquoted(word)
        if name is None or word not in spellings(name):
            self._wrong("a name is not as git writes it")
        return name

    def _same(self, names: bytes) -> tuple[bytes, bytes]:
        """Both names of a file that keeps its own: the two halves of the line."""
        if (first := split(names)) is not None:
            second = split(first[1][1:])
            old, new = first[0], second[0] if second is not None else b""
        else:
            old, new = names[: len(names) // 2], names[len(names) // 2 + 1 :]
        if old[2:] != new[2:]:
            self._wrong("its names contradict each other")
        return old[2:], new[2:]

    def _index(self) -> bool:
        line = self._take(b"index ")
        if line is None:
            return False
        found = _INDEX.fullmatch(line)
        told = self._status in "AD" or self._old_mode is not None
        if found is None or (found[3] is None) != told:
            self._wrong("a line 'index' is not as git writes it")
        if found[3] is not None:
            self._mode = self._known(found[3])
        self._before, self._after = found[1], found[2]
        return True

    # -- the content -------------------------------------------------------------------------------------------------

    def _content(self, source: bytes, path: bytes) -> None:
        if self._mode == LINK and self._status != "D":
            self._target = bytearray()
        line = self._lines.peek()
        if line == b"GIT binary patch" and self._mode != LINK:
            self._lines.step(line)
            self._binary = True
            size = binary.read(self._lines, self._limits.size, self._wrong)
            if self._show is not None:
                self._show("note", b"binary, %d bytes\n" % size)
        elif line is not None and line.startswith(b"--- "):
            self._label(b"--- ", None if self._status == "A" else b"a/" + source)
            self._label(b"+++ ", None if self._status == "D" else b"b/" + path)
            self._hunk(self._need(b"@@ ", "hunk"))
            while self._status not in "AD" and (head := self._take(b"@@ ", "hunk")) is not None:
                self._hunk(head)
        elif self._mode == LINK or not self._empty():
            self._wrong("what changed in it is missing")

    def _empty(self) -> bool:
        """Whether an empty file is made or deleted."""
        found = {"A": self._after, "D": self._before}.get(self._status)
        return found is not None and any(each.startswith(found) for each in _EMPTY)

    def _label(self, beginning: bytes, name: bytes | None) -> None:
        """The line of a name before the hunks; a name with a blank is followed by a tab."""
        label = self._need(beginning)
        tab = b"\t" if name and b" " in name else b""
        if label not in ([each + tab for each in spellings(name)] if name else [_NOWHERE]):
            self._wrong("its names contradict each other")

    def _hunk(self, head: bytes) -> None:
        found = _HUNK.fullmatch(head)
        if found is None:
            self._wrong("a line '@@' is not as git writes it")
        old, new = (1 if each is None else int(each) for each in found.groups())
        if not (old or new) or (old and self._status == "A") or (new and self._status == "D"):
            self._wrong("a line '@@' is not as git writes it")
        while old or new:
            kind = _KINDS.get(self._lines.mark())
            if kind is None:
                self._wrong("it has other lines than it announces")
            old -= kind in ("context", "removed")
            new -= kind in ("context", "added")
            if old < 0 or new < 0:
                self._wrong("it has other lines than it announces")
            self._line(kind)
        if self._lines.mark() == b"\\":
            self._line("note")

    def _line(self, kind: str) -> None:
        """One line of a hunk, of any length."""
        self._counts[kind] += 1
        if kind == "note":
            if self._need(b"\\", "note") != _NO_NEWLINE:
                self._wrong("it has other lines than it announces")
        elif self._show is None and self._target is None:
            self._lines.skip()
        else:
            before = len(self._target or b"")
            for piece in self._lines.pieces():
                if self._show is not None:
                    self._show(kind, piece)
                if self._target is not None and kind != "removed":
                    self._target += piece
                    if len(self._target) > LINK_LIMIT:
                        self._wrong("its target is too long for a link")
            if self._target is not None and kind != "removed":
                del self._target[before : before + 1]


def _heads(source: bytes, path: bytes) -> list[bytes]:
    """How git may write both names of a file where it begins."""
    return [b" ".join(pair) for pair in zip(spellings(b"a/" + source), spellings(b"b/" + path), strict=True)]
