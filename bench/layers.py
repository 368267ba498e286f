"""The layers that images are made of for `bench_images`, built here and kept in the user's cache.

==============  =====================================================================================================
`base`          Debian bookworm, nothing but its required packages
`packages`      what a development environment adds to it: compilers, interpreters, headers, documentation
`rewrite`       what later build steps do: files written again, files removed, a directory emptied
`edge_below`,   everything that an image may do to a file system (`tests.edge_layers`), with one large file that no
`edge_above`    compression makes smaller
`many`          one directory of 12,000 files
`addition`      a few files more, for a second image
==============  =====================================================================================================

Each function returns an uncompressed tar. They lie below ``$XDG_CACHE_HOME/banger-bench``, each in a directory whose
name is a key of its recipe; files that are there are not made again. Packages are what Debian's archive has on the
day: figures of different days are of different images. No root is needed.
"""

import asyncio
import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests import edge_layers
from tests.guest_images import EPOCH

from banger.oci import debian

SUITE = "bookworm"
PACKAGES = (
    "build-essential", "gdb", "cmake", "git", "perl", "perl-doc", "python3-full", "python3-dev", "python3-doc",
    "libssl-dev", "libboost-dev", "libicu-dev", "libsqlite3-dev", "libcurl4-openssl-dev", "libncurses-dev",
    "libxml2-dev", "golang", "nodejs", "vim", "manpages-dev", "glibc-doc",
)  # fmt: skip

BULK = 24 << 20
REWRITTEN_EVERY, REMOVED_EVERY = 12, 40
REWRITTEN_LIMIT = 32 << 10
"""Largest file that is written again."""

EMPTIED = "./usr/share/man/man3"
MANY = 12_000


def cache() -> Path:
    """Where all of it is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "banger-bench"


def kept(name: str, recipe: str, make: Callable[[Path], None]) -> Path:
    """The file or directory ``name`` of the cache, made once for each recipe; it appears whole or not at all."""
    directory = cache() / f"{name}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    ready = directory / name
    if not ready.exists():
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory) as staging:
            print(f"making {name}", flush=True)
            made = Path(staging) / name
            make(made)
            made.rename(ready)
    return ready


def base() -> Path:
    return _debian("base.tar", ())


def development() -> Path:
    """The whole tree of which `packages` is a part."""
    return _debian("development.tar", PACKAGES)


def _debian(name: str, packages: tuple[str, ...]) -> Path:
    return kept(
        name, repr((SUITE, packages)), lambda path: asyncio.run(debian.build_rootfs_tar(SUITE, packages, str(path)))
    )


def packages() -> Path:
    """What `development` has and `base` has not, and whiteouts for what it lacks: the layer of an installation."""

    def make(path: Path) -> None:
        lower = {each.info.name: each.signature() for each in _members(base())}
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as out:
            for each in _members(development()):
                if lower.pop(each.info.name, None) != each.signature():
                    each.write(out)
            for name in lower:
                _whiteout(out, name)

    return kept("packages.tar", f"{PACKAGES}", make)


def rewrite() -> Path:
    """Every twelfth small file of `development` with a line more, every fortieth gone, one directory emptied."""

    def make(path: Path) -> None:
        small = 0
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as out:
            for each in _members(development()):
                info = each.info
                if info.name == EMPTIED:
                    each.write(out)
                    _add(out, f"{EMPTIED}/.wh..wh..opq", b"")
                    _add(out, f"{EMPTIED}/left", b"the only one\n")
                if not info.isreg() or info.size > REWRITTEN_LIMIT or info.name.startswith(EMPTIED + "/"):
                    continue
                small += 1
                if small % REWRITTEN_EVERY == 0:
                    _add(out, info.name, each.data() + b"# written again\n", info.mode)
                elif small % REMOVED_EVERY == 0:
                    _whiteout(out, info.name)

    return kept("rewrite.tar", repr((PACKAGES, REWRITTEN_EVERY, REMOVED_EVERY, REWRITTEN_LIMIT, EMPTIED)), make)


def edge_below() -> Path:
    return _given("edge-below.tar", edge_layers.below())


def edge_above() -> Path:
    return _given("edge-above.tar", edge_layers.above(BULK))


def _given(name: str, data: bytes) -> Path:
    def make(path: Path) -> None:
        path.write_bytes(data)

    return kept(name, hashlib.sha256(data).hexdigest(), make)


def many() -> Path:
    """A directory of 12,000 files of some 600 bytes."""

    def make(path: Path) -> None:
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as out:
            for number in range(MANY):
                _add(out, f"./srv/many/a file with a number {number:05}", b"%05d\n" % number * 100)

    return kept("many.tar", str(MANY), make)


def addition() -> Path:
    """A program of 4 MiB and 300 small files: what one more build step adds."""

    def make(path: Path) -> None:
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as out:
            _add(out, "./srv/added/program", b"".join(hashlib.sha256(b"%d" % n).digest() * 4 for n in range(1 << 15)))
            for number in range(300):
                _add(out, f"./srv/added/{number}", b"%d\n" % number * 500)

    return kept("addition.tar", "1", make)


class _Member(NamedTuple):
    info: tarfile.TarInfo
    archive: tarfile.TarFile

    def data(self) -> bytes:
        file = self.archive.extractfile(self.info)
        return file.read() if file is not None else b""

    def signature(self) -> tuple[object, ...]:
        """What makes it the same file in two trees."""
        info = self.info
        content = hashlib.sha256(self.data()).digest() if info.isreg() else b""
        xattrs = {key: value for key, value in info.pax_headers.items() if key.startswith("SCHILY.")}
        return info.type, info.mode, info.uid, info.gid, info.mtime, info.linkname, content, xattrs

    def write(self, out: tarfile.TarFile) -> None:
        out.addfile(self.info, self.archive.extractfile(self.info) if self.info.isreg() else None)


def _members(path: Path) -> Iterator[_Member]:
    with tarfile.open(path) as archive:
        for info in archive:
            if info.name != ".":
                yield _Member(info, archive)


def _add(out: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(data), mode, EPOCH
    out.addfile(info, io.BytesIO(data))


def _whiteout(out: tarfile.TarFile, name: str) -> None:
    folder, _, last = name.rpartition("/")
    _add(out, f"{folder}/.wh.{last}", b"")
