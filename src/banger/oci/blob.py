"""A layer's file as a stream of inflated pieces, and the proof that it is what it should be.

Inflating and the digest of the content (what the config names, diff_id) run in threads of their own, since neither
holds the interpreter's lock; queues between them are short, so a slow reader bounds the memory of all. A content that
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

from banger.oci import inflate

_QUEUED = 6
"""Pieces between two threads."""


class Lying(ValueError):
    """The file is what the manifest names, and its content is not what the config names."""


class Blob:
    """The file ``path``, open. What is not given of ``digest``, ``size`` and ``diff_id`` is not checked.

    ``on_read`` hears, in another thread, how many bytes were read. Iterate over it once, then call `check`, `intact`.
    """

    def __init__(
        self,
        path: str,
        *,
        digest: str = "",
        size: int = 0,
        diff_id: str = "",
        on_read: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._file = _opened(path)
        self._digest, self._size = digest, size
        self._diff_id = diff_id
        self._on_read = on_read
        self._content = _Digest() if diff_id else None
        self._proved = False
        self._pieces: queue.Queue[bytes | BaseException | None] = queue.Queue(_QUEUED)
        self._stopped = False
        self._thread = threading.Thread(target=self._pump, name="inflate", daemon=True)

    def __enter__(self) -> "Blob":
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop()
        if self._content is not None:
            self._content.close()
        self._file.close()

    def __iter__(self) -> Iterator[bytes]:
        """The inflated pieces. Raises `inflate.Damaged`, OSError."""
        self._thread.start()
        while isinstance(piece := self._pieces.get(), bytes):
            yield piece
        if piece is not None:
            raise piece

    def check(self) -> None:
        """Compare the content's digest; everything has been read. Raises `Lying`."""
        if self._content is None:
            return
        self._proved = self._content.close() == self._diff_id
        if not self._proved:
            raise Lying("its content is not what the image's config names (diff_id)")

    def intact(self) -> bool:
        """Whether the file is the blob that it should be. True when nothing is known of that."""
        self._stop()
        if self._size and os.fstat(self._file.fileno()).st_size != self._size:
            return False
        if self._proved or not self._digest:
            return True
        self._file.seek(0)
        return f"sha256:{hashlib.file_digest(self._file, 'sha256').hexdigest()}" == self._digest

    def _read(self, size: int) -> bytes:
        data = self._file.read(size) or b""
        self._on_read(len(data))
        return data

    def _pump(self) -> None:
        """Inflate, a few pieces ahead of the reader."""
        last: BaseException | None = None
        try:
            for piece in inflate.pieces(self._read):
                if self._content is not None:
                    self._content.update(piece)
                self._pieces.put(piece)
                if self._stopped:
                    return
        except BaseException as fault:
            last = fault
        self._pieces.put(last)

    def _stop(self) -> None:
        self._stopped = True
        while self._thread.is_alive():
            try:
                self._pieces.get(timeout=0.01)
            except queue.Empty:
                continue


def _opened(path: str) -> io.FileIO:
    """A file, open. What is no file raises OSError at once, where opening or reading it might wait for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no file", path)
    return open(descriptor, "rb", buffering=0)


class _Digest:
    """A sha256 that is counted in a thread of its own."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._waiting: queue.Queue[bytes | None] = queue.Queue(_QUEUED)
        self._thread = threading.Thread(target=self._count, name="digest", daemon=True)
        self._thread.start()

    def update(self, data: bytes) -> None:
        self._waiting.put(data)

    def close(self) -> str:
        """The digest of all that was given, in the words of OCI; may be asked again."""
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()
        return f"sha256:{self._hash.hexdigest()}"

    def _count(self) -> None:
        while (data := self._waiting.get()) is not None:
            self._hash.update(data)
