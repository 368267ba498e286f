"""The program behind ``banger firecracker install``: monitor and jailer of one release, put where root's programs are.

A release is an archive on the project's release pages, named by version and architecture, and known by its sha256,
which is checked before anything in it is looked at. Two files are taken out of it, and nothing else; both must say that
they are of that version. They get their names together, or neither does; machines that run have copies of their own.
"""

import asyncio
import contextlib
import hashlib
import os
import platform
import sys
import tarfile
import tempfile
from typing import IO, NamedTuple

import msgspec

from banger import errors, program
from banger.bundles import download
from banger.log import printable
from banger.privileged.installation import Host
from banger.system import install
from banger.system.files import Files
from banger.system.layout import below
from banger.vmm.firecracker import programs, versions

PAGES = "https://github.com/firecracker-microvm/firecracker/releases/download"
DEFAULT = "1.15.1"
"""A release that the project still mends, without a known weakness.

No test has run it: what the tests run has an advisory, and its line gets no more patches. Its API is between two whose
published descriptions ours is held against (`versions.OLDEST` to 1.16.1), and who installs it is told, here and by the
doctor. Once the tests run a release without an advisory, that one is the default.
"""

ARCHITECTURES = ("x86_64", "aarch64")
ARCHIVE_LIMIT = 256 << 20
PROGRAM_LIMIT = 64 << 20

PINNED = {
    ("1.12.1", "x86_64"): "0a75e67ef6e4c540a2cf248b06822b0be9820cbba9fe19f9e0321200fe76ff6b",
    ("1.15.1", "x86_64"): "d4a32ab2322d887ca1bc4a4e7afa9cc35393e6362dfc2b3becb389d362e4275a",
    ("1.15.1", "aarch64"): "00654ac1e702a22744121ea9f10a4f792ebd7c3a744cba587dfac9fcb79b41a5",
}
"""The archives' sha256, as the project publishes it beside each of them (``.tgz.sha256.txt``)."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for; empty is what the tables say. ``source`` is a URL or an absolute path of the archive."""

    version: str = ""
    source: str = ""
    sha256: str = ""
    json: bool = False
    root: str = "/"


class Installed(NamedTuple):
    """What is in place now."""

    version: str
    firecracker: str
    jailer: str
    sha256: str
    notices: tuple[str, ...] = ()
    """What the doctor will say of this release, a line each."""


def fetch_and_install(wanted: Wanted) -> Installed:
    """Raises `errors.UsageError`, `errors.SourceUnavailable`, `errors.CorruptBlob`, `errors.InstallRefused`."""
    install.need_root(wanted.root == "/")
    version, machine = _version(wanted.version), _architecture()
    sha256 = _sha256(wanted, version, machine)
    source = wanted.source or f"{PAGES}/v{version}/firecracker-v{version}-{machine}.tgz"
    targets = (Host.firecracker, Host.jailer)
    place = os.path.dirname(below(wanted.root, targets[0]))
    try:
        os.makedirs(place, mode=0o755, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".banger-", dir=place) as work:
            archive = os.path.join(work, "release.tgz")
            _fetch(source, archive, sha256)
            taken = [_take(archive, work, name, version, machine) for name in ("firecracker", "jailer")]
            asyncio.run(_check(taken, version))
            with contextlib.ExitStack() as undo:
                files = Files(wanted.root, undo)
                for staged, target in zip(taken, targets, strict=True):
                    with open(staged, "rb") as file:
                        files.file(target, file.read(), 0o755)
                undo.pop_all()
    except OSError as error:
        raise errors.from_os(error, place) from error
    return Installed(version, *targets, sha256, notices(version))


def notices(release: str) -> tuple[str, ...]:
    """What there is to know of a release, in the doctor's words."""
    version = versions.parse(release)
    assert version is not None
    told = versions.untested(version)
    return (*([f"Firecracker {release} is {told}"] if told else []), *versions.advisories(version))


def _version(asked: str) -> str:
    version = versions.parse(asked or DEFAULT)
    if version is None:
        raise errors.UsageError(detail=f"{printable(asked, 40)!r} is no version of a release: {DEFAULT} is one")
    if version < versions.OLDEST:
        oldest = versions.words(versions.OLDEST)
        raise errors.UsageError(detail=f"Firecracker {versions.words(version)} is too old: take {oldest} or later")
    return versions.words(version)


def _architecture() -> str:
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise errors.UsageError(detail=f"Firecracker has no release for {machine}")
    return machine


def _sha256(wanted: Wanted, version: str, machine: str) -> str:
    given, known = wanted.sha256.lower(), PINNED.get((version, machine))
    if given and (len(given) != 64 or given.strip("0123456789abcdef")):
        raise errors.UsageError(detail=f"{printable(given, 80)!r} is no sha256: 64 hexadecimal digits are")
    if given and known and given != known:
        raise errors.UsageError(detail=f"that is not the sha256 of Firecracker {version}, which is {known}")
    if given or known:
        return given or str(known)
    error = errors.UsageError(detail=f"the sha256 of Firecracker {version} for {machine} is not known here")
    error.advise(f"give it with --sha256, from firecracker-v{version}-{machine}.tgz.sha256.txt on the release's page")
    raise error


def _fetch(source: str, archive: str, sha256: str) -> None:
    """Download, hashing on the way. Raises `errors.CorruptBlob` for other content."""
    size = download.length(source, ARCHIVE_LIMIT)
    digest = hashlib.sha256()
    with open(archive, "wb") as file:
        for piece in download.pieces(source, size):
            digest.update(piece)
            file.write(piece)
    if digest.hexdigest() != sha256:
        raise errors.CorruptBlob(digest=f"sha256:{sha256}", reason=f"the archive has sha256 {digest.hexdigest()}")


def _take(archive: str, work: str, name: str, version: str, machine: str) -> str:
    """One program out of the archive, as a file of ``work``."""
    inside = f"release-v{version}-{machine}/{name}-v{version}-{machine}"
    staged = os.path.join(work, name)
    try:
        with tarfile.open(archive, "r:gz") as release:
            for member in release:
                if member.name.removeprefix("./") == inside and member.isreg() and member.size <= PROGRAM_LIMIT:
                    content = release.extractfile(member)
                    assert content is not None
                    _write(content, staged)
                    return staged
    except (tarfile.TarError, EOFError, OSError) as error:
        raise errors.CorruptBlob(digest=inside, reason=f"the archive cannot be read ({error})") from None
    raise errors.CorruptBlob(digest=inside, reason="it is not in the archive")


def _write(content: IO[bytes], path: str) -> None:
    with open(path, "xb") as file:
        while piece := content.read(1 << 20):
            file.write(piece)
        os.fchmod(file.fileno(), 0o755)


async def _check(taken: list[str], version: str) -> None:
    for path in taken:
        try:
            stated = await programs.version(path)
        except (errors.BangerError, OSError) as error:
            stated = str(error)
        if stated != version:
            raise errors.CorruptBlob(digest=os.path.basename(path), reason=f"it is not of {version}: {stated}")


def _tell(wanted: Wanted, done: Installed) -> None:
    if wanted.json:
        print(msgspec.json.format(msgspec.json.encode(done._asdict()), indent=2).decode())
    else:
        print(f"Firecracker {done.version}: {done.firecracker}, {done.jailer}")
        for notice in done.notices:
            print(notice, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(program.run(Wanted, fetch_and_install, _tell))
