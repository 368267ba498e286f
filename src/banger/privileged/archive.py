"""Makes bangerd-root.pyz: the package `banger.helper` as one file that ``python3 -IS`` runs.

The same sources give the same bytes: entries in order, stored without compression, with one fixed time and mode. The
package's name in the archive is `PACKAGE`, which its relative imports do not notice; the digest of all its sources is
written into its module ``release``, so that an installed helper can tell whether it is the one of this banger.
"""

import hashlib
import io
import os
import zipfile

import banger.helper

PACKAGE = "bangerd_root"
START = f"import sys\nfrom {PACKAGE}.main import main\nsys.exit(main())\n"
_RELEASE = 'DIGEST = ""\n'
_TIME = (2020, 1, 1, 0, 0, 0)


def sources() -> dict[str, bytes]:
    """The helper's modules by file name."""
    (directory,) = banger.helper.__path__
    found = {}
    for name in sorted(os.listdir(directory)):
        if name.endswith(".py"):
            with open(os.path.join(directory, name), "rb") as file:
                found[name] = file.read()
    return found


def digest() -> str:
    """The sha256 that names this helper."""
    total = hashlib.sha256()
    for name, source in sources().items():
        total.update(f"{name}\0{len(source)}\0".encode() + source)
    return total.hexdigest()


def content() -> bytes:
    """The archive."""
    files = sources()
    release = files["release.py"].decode()
    assert release.count(_RELEASE) == 1
    files["release.py"] = release.replace(_RELEASE, f'DIGEST = "{digest()}"\n').encode()
    entries = {f"{PACKAGE}/{name}": source for name, source in files.items()} | {"__main__.py": START.encode()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, source in sorted(entries.items()):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.create_system = 3  # Unix, wherever it is made
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, source)
    return buffer.getvalue()


def build(path: str) -> str:
    """Put the archive at ``path`` (0644, durable, in one step); the digest of its sources."""
    beside = f"{path}.new"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o644)
        file.write(content())
        file.flush()
        os.fsync(descriptor)
    os.rename(beside, path)
    directory = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return digest()
