"""Names below a directory of this host, reached without ever following a symbolic link."""

import os

from banger.text import printable

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Tree:
    """Quick for names that come in order: the directories that lead to the last one are kept open."""

    def __init__(self, top: bytes) -> None:
        self._steps: list[bytes] = []
        self._open = [os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
        self._directory = b""
        self._missing: bytes | None = None

    def __enter__(self) -> "Tree":
        return self

    def __exit__(self, *exc: object) -> None:
        for descriptor in self._open:
            os.close(descriptor)
        self._open.clear()

    def lstat(self, name: bytes) -> os.stat_result | None:
        """What a name is; None where there is nothing, or a link on the way."""
        found = self._find(name)
        if found is None:
            return None
        try:
            return os.stat(found[1], dir_fd=found[0], follow_symlinks=False)
        except FileNotFoundError:
            return None

    def open(self, name: bytes) -> int:
        """A descriptor of a file, for reading. Raises OSError."""
        found = self._find(name)
        if found is None:
            raise FileNotFoundError(printable(name))
        return os.open(found[1], _FILE, dir_fd=found[0])

    def readlink(self, name: bytes) -> bytes:
        """Where a link leads. Raises OSError."""
        found = self._find(name)
        if found is None:
            raise FileNotFoundError(printable(name))
        return os.readlink(found[1], dir_fd=found[0])

    def _find(self, name: bytes) -> tuple[int, bytes] | None:
        directory, _, last = name.rpartition(b"/")
        if directory != self._directory:
            self._enter(directory)
        return None if self._missing is not None else (self._open[-1], last)

    def _enter(self, directory: bytes) -> None:
        steps = directory.split(b"/") if directory else []
        keep = 0
        while keep < min(len(steps), len(self._steps)) and steps[keep] == self._steps[keep]:
            keep += 1
        while len(self._open) > keep + 1:
            os.close(self._open.pop())
        del self._steps[keep:]
        self._directory, self._missing = directory, None
        for step in steps[keep:]:
            try:
                self._open.append(os.open(step, _DIRECTORY, dir_fd=self._open[-1]))
            except (FileNotFoundError, NotADirectoryError, OSError) as error:
                if not isinstance(error, FileNotFoundError | NotADirectoryError) and error.errno != 40:  # ELOOP
                    raise
                self._missing = directory
                return
            self._steps.append(step)
