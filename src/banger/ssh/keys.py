"""The key pair of an installation: made at the first need, never changed and never removed by us.

On disk, as ssh-keygen(1) writes them: ``PATH`` (0600) and ``PATH.pub``, in a directory that is made private (0700) when
it is not there. The path may be a key of the user's own; what is there is never written. A new pair is made aside, and
its halves appear complete under names that nobody had.
"""

import asyncio
import base64
import binascii
import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from typing import NamedTuple

from banger import errors, proc

COMMENT = "banger"
PUBLIC_LIMIT = 16 << 10


class KeyPair(NamedTuple):
    """``public`` is a line of authorized_keys without its end, ``fingerprint`` is written as ssh-keygen does."""

    path: str
    public: str
    fingerprint: str


async def ensure(path: str) -> KeyPair:
    """The pair at ``path``, made when there is none; a public half that is missing is made of the private one.

    Raises `errors.UnsafeDirectory` for a key that others can read or that is none, `errors.ToolMissing`.
    """
    try:
        if not os.path.exists(path) or not os.path.exists(f"{path}.pub"):
            await _make(path)
    except OSError as fault:
        raise errors.from_os(fault, path) from fault
    return read(path)


def read(path: str) -> KeyPair:
    """The pair at ``path``. Raises `errors.UnsafeDirectory`."""
    try:
        mode = os.stat(path).st_mode
        with open(f"{path}.pub", encoding="utf-8", errors="replace") as file:
            public = file.read(PUBLIC_LIMIT).strip()
    except OSError as fault:
        raise _refused(fault.filename or path, fault.strerror or str(fault)) from None
    if mode & 0o077:
        raise _refused(path, f"others may use this key (its mode is {mode & 0o777:04o})")
    fields = public.split()
    try:
        blob = base64.b64decode(fields[1], validate=True)
    except (IndexError, binascii.Error):
        blob = b""
    if not blob or "\n" in public or not public.isprintable():
        raise _refused(f"{path}.pub", "it is not a public key of ssh")
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return KeyPair(path, public, f"SHA256:{digest}")


def _refused(path: str, reason: str) -> errors.UnsafeDirectory:
    error = errors.UnsafeDirectory(path=path, reason=reason)
    error.advise("mend it ('chmod 600', 'ssh-keygen -y'), or set ssh_key_path to another key")
    return error


async def _make(path: str) -> None:
    folder, public = os.path.dirname(path), f"{path}.pub"
    os.makedirs(folder, mode=0o700, exist_ok=True)
    async with _turn(folder):
        with tempfile.TemporaryDirectory(prefix=".new-key-", dir=folder) as scratch:
            made = os.path.join(scratch, "key")
            if not os.path.lexists(path):
                if os.path.lexists(public):
                    raise _refused(public, "the private key that belongs to it is missing")
                await proc.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", COMMENT, "-f", made], timeout=60)
                os.link(made, path)
            elif not os.path.lexists(public):
                derived = await proc.run(["ssh-keygen", "-y", "-P", "", "-f", path], timeout=60, check=False)
                if derived.status != 0:
                    raise _refused(path, "it is not a private key of ssh, or has a passphrase")
                with open(f"{made}.pub", "wb") as file:
                    file.write(derived.stdout)
            else:
                return
            os.link(f"{made}.pub", public)


@contextlib.asynccontextmanager
async def _turn(folder: str) -> AsyncIterator[None]:
    """Be the only one that makes a key there."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(0.02)
        yield
    finally:
        os.close(descriptor)
