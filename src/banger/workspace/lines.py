"""Lines out of pieces of any size, however long they are, in bounded memory. What breaks off is refused."""

from collections.abc import Iterable, Iterator

from banger import errors
from banger.text import printable

HEAD_LIMIT = 64 << 10
"""The longest line that is ever held whole: two paths, each of their bytes an escape, fit."""


def refused(name: bytes, reason: str) -> errors.UnsafePatch:
    """``name`` is what is said to be wrong: a path in the patch, or the patch itself."""
    return errors.UnsafePatch(path=printable(name, 200), reason=reason)


class Lines:
    """Holds one piece, and of a line that spans pieces at most `HEAD_LIMIT` bytes."""

    def __init__(self, chunks: Iterable[bytes], limit: int) -> None:
        self._chunks = iter(chunks)
        self._limit = self._left = limit
        self._piece = b""
        self._position = 0

    def _more(self) -> bool:
        """Put the next piece behind what is left of this one; False at the end."""
        for chunk in self._chunks:
            if chunk:
                self._left -= len(chunk)
                if self._left < 0:
                    raise refused(b"the patch", f"it is longer than {self._limit} bytes")
                self._piece = self._piece[self._position :] + chunk
                self._position = 0
                return True
        return False

    def mark(self) -> bytes:
        """The first byte of the next line; none at the end."""
        if self._position == len(self._piece) and not self._more():
            return b""
        return self._piece[self._position : self._position + 1]

    def peek(self) -> bytes | None:
        """The next line without its newline, which remains the next; None at the end."""
        while (end := self._piece.find(b"\n", self._position)) < 0:
            held = len(self._piece) - self._position
            if held > HEAD_LIMIT:
                raise refused(b"the patch", "a line is too long")
            if not self._more():
                if not held:
                    return None
                raise refused(b"the patch", "it ends within a line")
        if end - self._position > HEAD_LIMIT:
            raise refused(b"the patch", "a line is too long")
        return self._piece[self._position : end]

    def step(self, line: bytes) -> None:
        """Pass the line that `peek` has given."""
        self._position += len(line) + 1

    def pieces(self) -> Iterator[bytes]:
        """The next line with its newline, in pieces where it is long."""
        while (end := self._piece.find(b"\n", self._position) + 1) == 0:
            piece, self._position = self._piece[self._position :], len(self._piece)
            if piece:
                yield piece
            if not self._more():
                raise refused(b"the patch", "it ends within a line")
        start, self._position = self._position, end
        yield self._piece[start:end]

    def skip(self) -> None:
        """Pass the next line, of any length."""
        end = self._piece.find(b"\n", self._position) + 1
        if end:
            self._position = end
        else:
            for _ in self.pieces():
                pass
