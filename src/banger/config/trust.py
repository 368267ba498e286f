"""Which repositories' files the user has agreed to, content and all.

On disk, in a directory that is the user's alone: one file for each, named by the digest of its path, with the content
that was agreed to. What is on record is compared byte by byte, and can be shown beside what has become of it.
"""

import contextlib
import hashlib
import os
import tempfile

import banger
from banger.config.profile import PROJECT_LIMIT


class Trusted:
    """The record in ``directory``."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def content(self, path: str) -> bytes | None:
        """What was agreed to of the file at ``path``; None for nothing."""
        try:
            with open(self._place(path), "rb") as file:
                return file.read(PROJECT_LIMIT + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise banger.errors.from_os(error, self._directory) from error

    def trust(self, path: str, content: bytes) -> None:
        """Put on record that this content is agreed to, in place of what was. Raises `errors.DiskFull`."""
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            descriptor, beside = tempfile.mkstemp(prefix=".new-", dir=self._directory)
            try:
                with open(descriptor, "wb") as file:
                    file.write(content)
                os.rename(beside, self._place(path))
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(beside)
                raise
        except OSError as error:
            raise banger.errors.from_os(error, self._directory) from error

    def forget(self, path: str) -> bool:
        """Take it back; whether there was anything to take back."""
        try:
            os.unlink(self._place(path))
        except FileNotFoundError:
            return False
        except OSError as error:
            raise banger.errors.from_os(error, self._directory) from error
        return True

    def _place(self, path: str) -> str:
        return os.path.join(self._directory, hashlib.sha256(os.fsencode(path)).hexdigest())
