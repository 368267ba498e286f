"""A layer's file as a stream of inflated pieces, and the proof that it is what it should be.

Each byte of the file is read once. Inflating, the digest of the file (what the manifest names) and the digest of its
content (what the config names, diff_id) run in threads of their own, since none of them holds the interpreter's lock;
queues between them are short, so a slow reader bounds the memory of all.

Until `Blob.check` has returned, nothing that was read may be believed.
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

    ``on_read`` hears, in another thread, how many bytes were read. Iterate over it once, then call `check`.
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
        self._diff_id = "" if diff_id == digest else diff_id  # a plain archive has one digest
        self._on_read = on_read
        self._of_file = _Digest() if digest else None
        self._of_content = _Digest() if self._diff_id else None
        self._pieces: queue.Queue[bytes | BaseException | None] = queue.Queue(_QUEUED)
        self._stopped = False
        self._thread = threading.Thread(target=self._pump, name="inflate", daemon=True)

    def __enter__(self) -> "Blob":
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop()
        for digest in (self._of_file, self._of_content):
            if digest is not None:
                digest.close()
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
        if self._of_content is not None and self._of_content.close() != self._diff_id:
            raise Lying("its content is not what the image's config names (diff_id)")

    def intact(self) -> bool:
        """Whether the file is the blob that it should be; reads what is left of it. True when nothing is known."""
        self._stop()
        if self._size and os.fstat(self._file.fileno()).st_size != self._size:
            return False
        if self._of_file is None:
            return True
        while self._read(inflate.PIECE):
            pass
        return self._of_file.close() == self._digest

    def _read(self, size: int) -> bytes:
        data = self._file.read(size) or b""
        if self._of_file is not None and data:
            self._of_file.update(data)
        self._on_read(len(data))
        return data

    def _pump(self) -> None:
        """Inflate, a few pieces ahead of the reader."""
        last: BaseException | None = None
        try:
            for piece in inflate.pieces(self._read):
                if self._of_content is not None:
                    self._of_content.update(piece)
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
