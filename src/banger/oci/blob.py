"""A layer's file as a stream of inflated pieces, and the proof that it is what it should be.

Inflating and the digest of the content (what the config names, diff_id) run in threads of their own, since neither
holds the interpreter's lock. Each piece goes from one to the next, the reader last, and its buffer from there back to
the first: there are few of them, so a slow reader bounds the memory of all. A content that
is right proves the file: its own digest (what the manifest names) is counted only where there is no such proof, to
tell a damaged file from an image that is broken itself.

Until `Blob.intact` has returned true, nothing that was read may be believed.
"""

import errno
import hashlib
import io
import os
import queue
import stat
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

from banger.oci import inflate

BUFFERS = 6

_Given = tuple[bytes | bytearray, bytearray]
"""A piece, and the buffer that goes back when it is not needed any more."""

_Queue = queue.SimpleQueue[_Given | BaseException | None]
"""Pieces in their order, then what went wrong or None."""


class _Stopped(Exception):
    """Nobody reads any more."""


class Lying(ValueError):
    """The file is what the manifest names, and its content is not what the config names."""


class Blob:
    """A file, open and closed here. What is not given of ``digest``, ``size`` and ``diff_id`` is not checked.

    ``on_read`` hears, in another thread, how many bytes were read. Iterate over it once, then call `check`, `intact`.
    """

    def __init__(
        self,
        file: io.RawIOBase,
        *,
        digest: str = "",
        size: int = 0,
        diff_id: str = "",
        on_read: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._file = file
        self._digest, self._size = digest, size
        self._diff_id = diff_id
        self._on_read = on_read
        self._inflated: _Queue = queue.SimpleQueue()
        self._spare: queue.SimpleQueue[bytearray] = queue.SimpleQueue()
        self._made = 0
        """How many buffers there are."""
        self._content = _Digest(self._inflated) if diff_id else None
        self._pieces = self._content.passed if self._content is not None else self._inflated
        self._proved = False
        self._stopped = False
        self._thread = threading.Thread(target=self._pump, name="inflate", daemon=True)

    def __enter__(self) -> "Blob":
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop()
        self._file.close()

    def __iter__(self) -> Iterator[bytes | bytearray]:
        """The inflated pieces; each is gone when the next is asked for. Raises `inflate.Damaged`, OSError."""
        self._thread.start()
        if self._content is not None:
            self._content.start()
        while isinstance(given := self._pieces.get(), tuple):
            yield given[0]
            self._spare.put(given[1])
        if given is not None:
            raise given

    def check(self) -> None:
        """Compare the content's digest; everything has been read. Raises `Lying`."""
        if self._content is None:
            return
        self._stop()
        self._proved = self._content.digest() == self._diff_id
        if not self._proved:
            raise Lying("its content is not what the image's config names (diff_id)")

    def intact(self) -> bool:
        """Whether the file is the blob that it should be. True when nothing is known of that.

        One that grew is so only if its content proves it: what was read of it need not be what there is now.
        """
        self._stop()
        if self._size and self._file.seek(0, os.SEEK_END) != self._size:
            return False
        if self._proved or not self._digest:
            return True
        if not isinstance(self._file, io.FileIO):
            return False
        self._file.seek(0)
        return f"sha256:{hashlib.file_digest(self._file, 'sha256').hexdigest()}" == self._digest

    def _room(self) -> bytearray:
        """A buffer that nobody uses. Raises `_Stopped`."""
        if self._made < BUFFERS and self._spare.empty():
            self._made += 1
            return bytearray(inflate.PIECE)
        found = self._spare.get()
        if self._stopped:
            raise _Stopped
        return found

    def _pump(self) -> None:
        """Inflate, a few pieces ahead of the reader."""
        last: BaseException | None = None
        try:
            for given in inflate.pieces(inflate.Input(cast(BinaryIO, self._file), self._on_read), self._room):
                self._inflated.put(given)
        except BaseException as fault:
            last = fault
        self._inflated.put(last)

    def _stop(self) -> None:
        self._stopped = True
        if self._thread.ident is not None:
            for _ in range(BUFFERS):  # one for each that the thread may still make, or wait for
                self._spare.put(bytearray())
            self._thread.join()
        if self._content is not None:
            self._content.join()


def opened(path: str) -> io.FileIO:
    """A file, open. What is no file raises OSError at once, where opening or reading it might wait for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no file", path)
    return open(descriptor, "rb", buffering=0)


class _Digest:
    """The sha256 of the pieces in ``pieces``, counted in a thread of its own that passes them on."""

    def __init__(self, pieces: _Queue) -> None:
        self.passed: _Queue = queue.SimpleQueue()
        self._pieces = pieces
        self._hash = hashlib.sha256()
        self._thread = threading.Thread(target=self._count, name="digest", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        """Wait for the thread's end, which follows that of the pieces."""
        if self._thread.ident is not None:
            self._thread.join()

    def digest(self) -> str:
        """The digest of all pieces, in the words of OCI."""
        return f"sha256:{self._hash.hexdigest()}"

    def _count(self) -> None:
        while isinstance(given := self._pieces.get(), tuple):
            self._hash.update(given[0])
            self.passed.put(given)
        self.passed.put(given)
