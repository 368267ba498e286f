"""What a tree of files is, entry by entry, as the kernel tells it: of a directory, or of a mounted image. Needs root.

    expected = facts(umoci(layout, directory / "bundle"))
    found = mounted(image)
    assert difference(expected, found) == {}

An image is mounted read-only in a mount namespace of a process of its own, which reads it and ends; nothing is left
when that process dies in whatever way. Devices and fifos are left out on both sides: our images have none.
"""

import hashlib
import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tests.home import TREE

_MOUNT = 'mount -t ext4 -o loop,ro,noload "$1" "$2" && exec "$3" -P -m tests.layer_oracle "$2"'
_PIECE = 1 << 20


class Facts(msgspec.Struct, frozen=True, order=True):
    """One name. ``names`` are all that its inode has; ``content`` is a digest, or a symbolic link's target."""

    kind: str
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
    content: bytes
    names: tuple[bytes, ...]
    xattrs: dict[str, bytes]


Tree = dict[bytes, Facts]


def facts(root: Path) -> Tree:
    """Every name below ``root``, and the root itself as the empty name."""
    top = os.fsencode(root)
    names = [b""]
    for folder, folders, files in os.walk(top):
        names += [os.path.relpath(os.path.join(folder, name), top) for name in folders + files]
    status = {name: os.lstat(os.path.join(top, name)) for name in names}
    kept = {name: each for name, each in status.items() if name != b"lost+found" and _kind(each)}
    same: dict[int, list[bytes]] = {}
    for name, each in kept.items():
        same.setdefault(each.st_ino, []).append(name)
    return {name: _facts(os.path.join(top, name), each, sorted(same[each.st_ino])) for name, each in kept.items()}


def _kind(status: os.stat_result) -> str:
    return {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}.get(
        stat.S_IFMT(status.st_mode), ""
    )


def _facts(path: bytes, status: os.stat_result, names: list[bytes]) -> Facts:
    kind = _kind(status)
    content = b""
    if kind == "file":
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").digest()
    elif kind == "symlink":
        content = os.readlink(path)
    return Facts(
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime=status.st_mtime_ns,
        size=status.st_size if kind == "file" else 0,
        content=content,
        names=tuple(names),
        xattrs={
            each: os.getxattr(path, each, follow_symlinks=False) for each in os.listxattr(path, follow_symlinks=False)
        },
    )


def umoci(layout: Path, bundle: Path, tag: str = "latest") -> Path:
    """The directory into which ``umoci unpack`` puts an image's files, as root."""
    argv: list[str | Path] = ["umoci", "unpack", "--image", f"{layout}:{tag}", bundle]
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=300, check=False)
    if done.returncode != 0:
        raise Refused(done.stderr.strip().rpartition("\n")[2])
    return bundle / "rootfs"


class Refused(Exception):
    """umoci does not unpack these layers."""


def mounted(image: Path) -> Tree:
    """The files of an image as the kernel shows them."""
    place = image.with_name(image.name + ".mounted")
    place.mkdir()
    argv: list[str | Path] = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _MOUNT, "sh"]
    modules = os.pathsep.join([str(TREE), str(TREE / "src")])
    done = subprocess.run(
        [*argv, image, place, sys.executable],
        capture_output=True,
        timeout=300,
        check=False,
        cwd="/",
        env={**os.environ, "PYTHONPATH": modules},
    )
    place.rmdir()
    assert done.returncode == 0, done.stderr.decode()
    return dict(msgspec.msgpack.decode(done.stdout, type=list[tuple[bytes, Facts]]))


def difference(expected: Tree, found: Tree, since: int) -> Mapping[bytes, tuple[Facts | None, Facts | None]]:
    """The names of which the two tell different things, each with both.

    umoci gives no time to a directory that no layer names, nor back to the one that it makes it in: they have that of
    the unpacking. The times of directories that are later than ``since`` (ns) are therefore not compared.
    """
    wrong: dict[bytes, tuple[Facts | None, Facts | None]] = {}
    for name in sorted(expected.keys() | found.keys()):
        one, other = expected.get(name), found.get(name)
        if one is not None and other is not None and one.kind == other.kind == "directory" and one.mtime >= since:
            one = msgspec.structs.replace(one, mtime=other.mtime)
        if one != other:
            wrong[name] = (one, other)
    return wrong


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.msgpack.encode(list(facts(Path(sys.argv[1])).items())))
