"""A Debian archive that is small: two packages of what this host has, signed by a key of its own.

What mmdebstrap, apt, gpgv and dpkg make of it takes them seconds, where a suite of Debian's takes a minute. The first
package is essential: busybox, and the host's own dpkg, tar and env with their libraries. The second is required and no
more, so that it is apt that installs it, in the new root.

    archive = debian_archive.make(directory)
    debian.KEYRING = archive.keyring           # whom the archive is believed by
    ... BuildImage(suite=SUITE, mirror=archive.mirror)
"""

import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import NamedTuple

from banger import proc
from banger.images import sources
from banger.oci import debian
from banger.store.operations import Operations
from tests import guest_images

SUITE = "tiny"
ROOT, TOOL = "tiny-root", "tiny-tool"
PROGRAMS = ("dpkg", "dpkg-deb", "dpkg-split", "dpkg-query", "tar", "env")
"""Of this host: what dpkg needs in a root, and an env that starts it; that of busybox would be busybox' own dpkg."""

CONTROL = """\
Package: {name}
Version: 1.0
Architecture: amd64
Maintainer: Nobody <nobody@example.org>
{more}
Description: a package that is there for a test
"""
RELEASE = """\
Suite: {suite}
Codename: {suite}
Date: {date}
Architectures: amd64
Components: main
SHA256:
 {digest} {size} main/binary-amd64/Packages
"""
POSTINST = "#!/bin/sh\nset -e\ntest ! -e /tool\necho tool >/tool\n"


class Archive(NamedTuple):
    mirror: str
    keyring: str


def make(directory: Path) -> Archive:
    """The archive in a new directory, which other users must be able to reach: mmdebstrap reads it as one of them."""
    pool, index = directory / "pool", directory / f"dists/{SUITE}/main/binary-amd64"
    pool.mkdir(parents=True)
    index.mkdir(parents=True)
    packages = [_package(pool, ROOT, "Essential: yes\nPriority: required", _fill_root)]
    packages.append(_package(pool, TOOL, "Priority: required", _fill_tool))
    (index / "Packages").write_text("\n".join(packages))
    _sign(index.parent.parent, (index / "Packages").read_bytes(), directory / "archive.gpg")
    return Archive(f"copy:{directory}", str(directory / "archive.gpg"))


def flat(directory: Path, place: str) -> None:
    """One package that nobody has signed, `TOOL`, and an apt.conf for who has the directory at ``place``."""
    directory.mkdir()
    stanza = _package(directory, TOOL, "Section: misc", _fill_said)
    (directory / "Packages").write_text(stanza.replace("Filename: pool/", "Filename: ./"))
    (directory / "sources.list").write_text(f"deb [trusted=yes] file:{place} ./\n")
    (directory / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{place}/sources.list";\nDir::Etc::sourceparts "/dev/null";\n'
    )


def left(operations: Operations) -> list[str]:
    """Directories that mmdebstrap worked in, for the latest changes on record, and that are still there."""
    tasks = [task for each in operations.ended()[:10] for task in operations.tasks(each.id)]
    made = [each.identity for each in tasks if each.resource == "directory" and each.identity is not None]
    return [place for each in made if os.path.lexists(place := debian._scratch(sources.archive_path(each)))]


def _package(pool: Path, name: str, more: str, fill: Callable[[Path], None]) -> str:
    """Make a package; its stanza in the index."""
    control = CONTROL.format(name=name, more=more)
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / name
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text(control)
        fill(tree)
        tree.chmod(0o755)
        argv = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", str(tree), str(pool / f"{name}.deb")]
        subprocess.run(argv, check=True, capture_output=True)
    data = (pool / f"{name}.deb").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return f"{control}Filename: pool/{name}.deb\nSize: {len(data)}\nSHA256: {digest}\n"


def _fill_tool(tree: Path) -> None:
    (tree / "DEBIAN/postinst").write_text(POSTINST)
    (tree / "DEBIAN/postinst").chmod(0o755)


def _fill_said(tree: Path) -> None:
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin" / TOOL).write_text("#!/bin/sh\necho tiny\n")
    (tree / "usr/bin" / TOOL).chmod(0o755)


def _fill_root(tree: Path) -> None:
    subprocess.run(["tar", "-xC", tree, "--no-same-owner"], input=guest_images.busybox_tar(), check=True)
    needed = {"/bin/ldconfig": b"#!/bin/sh\n"}  # dpkg looks for it; there is nothing for it to do
    for name in PROGRAMS:
        path = proc.find(name)
        needed[f"/bin/{name}"] = Path(path).read_bytes()
        said = subprocess.run(["ldd", path], check=True, capture_output=True, text=True).stdout
        needed |= {each: Path(each).read_bytes() for each in re.findall(r"(/\S+) \(0x", said)}
    for place, data in needed.items():
        target = tree / place.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)  # a link to busybox, which has programs of these names too
        target.write_bytes(data)
        target.chmod(0o755)


def _sign(dists: Path, index: bytes, keyring: Path) -> None:
    digest = hashlib.sha256(index).hexdigest()
    release = RELEASE.format(suite=SUITE, date=formatdate(usegmt=True), digest=digest, size=len(index))
    with tempfile.TemporaryDirectory() as home:  # its path is short: gpg listens on a socket in it
        env = {**os.environ, "GNUPGHOME": home}
        gpg = [proc.find("gpg"), "--batch", "--quiet", "--passphrase", ""]
        try:
            key = [*gpg, "--quick-generate-key", "tiny@example.org", "ed25519", "sign", "never"]
            subprocess.run(key, check=True, capture_output=True, env=env)
            export = [*gpg, "--output", str(keyring), "--export"]
            subprocess.run(export, check=True, capture_output=True, env=env)
            sign = [*gpg, "--output", str(dists / "InRelease"), "--clearsign"]
            subprocess.run(sign, check=True, capture_output=True, env=env, input=release.encode())
        finally:
            subprocess.run(["gpgconf", "--kill", "all"], check=False, capture_output=True, env=env)
