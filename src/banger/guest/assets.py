"""What banger puts into every image, so that its root also boots without banger's initrd.

The files themselves are data: the agent's binary in ``agent/ARCH``, all others in ``image``. One table says where each
goes; a synthetic layer, an offline edit and a machine's initrd are all made from it. Everything is root's. Directories
are never named: those that an image has keep their owner and mode, those that it lacks become root's, 0755.

The units act only where the agent was not process 1 before the image's init. The target that enables them decides in
which boots they start; when they start in such a boot is their own business (they have no default dependencies).
"""

import functools
import hashlib
import os
from collections.abc import Sequence
from typing import NamedTuple

from banger import errors
from banger.disk import stamp
from banger.disk.ext4.superblock import MADE_AT
from banger.disk.guest_file import GuestFile

AGENT = "/usr/local/bin/banger-agent"

_HERE = os.path.dirname(os.path.abspath(__file__))
_UNITS = "/etc/systemd/system"
_ENABLED = f"{_UNITS}/multi-user.target.wants"

FILES = (
    ("/usr/local/libexec/banger-network-bootstrap", 0o755, "network-bootstrap"),
    (f"{_UNITS}/banger-agent.service", 0o644, "banger-agent.service"),
    (f"{_UNITS}/banger-network.service", 0o644, "banger-network.service"),
    ("/etc/modules-load.d/banger.conf", 0o644, "modules.conf"),
)
"""Path in the guest, mode, name in ``image``."""

LINKS = (
    (f"{_ENABLED}/banger-agent.service", f"{_UNITS}/banger-agent.service"),
    (f"{_ENABLED}/banger-network.service", f"{_UNITS}/banger-network.service"),
)
"""What ``systemctl enable`` would have made."""


class Assets(NamedTuple):
    """The files, and a digest that two sets of the same paths, modes and contents have in common."""

    files: tuple[GuestFile, ...]
    digest: str


def agent_path(machine: str = "") -> str:
    """The guest agent for machines like this host, or for another ``machine`` (uname -m), as the package carries it."""
    return os.path.join(_HERE, "agent", machine or os.uname().machine, "banger-agent")


def load(agent: str) -> Assets:
    """The assets of today, with the agent whose binary is at ``agent``.

    Raises what `errors.from_os` makes of a file that cannot be read.
    """
    sources = [(AGENT, 0o755, agent), *((path, mode, os.path.join(_HERE, "image", name)) for path, mode, name in FILES)]
    try:
        return _load(tuple((*source, stamp.of(source[2])) for source in sources))
    except OSError as error:
        raise errors.from_os(error, error.filename or agent) from error


@functools.lru_cache(maxsize=2)
def _load(sources: tuple[tuple[str, int, str, stamp.Stamp], ...]) -> Assets:
    """From path in the guest, mode, path here and the state of the file there; read once for each of these."""
    files = [GuestFile(path, _read(source), mode) for path, mode, source, _ in sources]
    files += [GuestFile(path, target=target) for path, target in LINKS]
    return Assets(tuple(files), _digest(files))


def layer(files: Sequence[GuestFile]) -> bytes:
    """The files as an uncompressed tar archive without directories: the newest layer of an image. Same in, same out."""
    import io
    import tarfile

    out = io.BytesIO()
    with tarfile.TarFile(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for file in files:
            entry = tarfile.TarInfo(file.path.lstrip("/"))
            entry.uid, entry.gid, entry.mtime = file.uid, file.gid, MADE_AT
            if file.target is not None:
                entry.type, entry.mode, entry.linkname = tarfile.SYMTYPE, 0o777, file.target
            else:
                entry.mode, entry.size = file.mode, len(file.content)
            archive.addfile(entry, io.BytesIO(file.content))
    return out.getvalue()


def _digest(files: Sequence[GuestFile]) -> str:
    digest = hashlib.sha256()
    for file in files:
        content = hashlib.sha256(file.content).hexdigest()
        digest.update(f"{file.path} {file.mode:o} {file.target or content}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
