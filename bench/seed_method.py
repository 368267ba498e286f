"""An image made the older way, re-created: layers flattened into a directory, ``mkfs.ext4 -d``, a debugfs pass.

    python -m bench.seed_method LAYOUT STAGING IMAGE SIZE

The steps are those of banger's predecessor: every layer is extracted over the ones before it as the user who runs
this, devices and fifos left out, while owners and modes are noted; mkfs.ext4 copies the directory; one debugfs script
sets uid, gid and mode of every path; a second puts the guest's files in, an agent of 8 MB among them. Digests and
diff_ids are checked. Names that debugfs cannot be told are left out (the predecessor refused the image). What was
written in Go is in Python here, with the C code of zlib and hashlib below it; the seconds of each step are printed, so
that the share of the programs of e2fsprogs can be told apart.
"""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

AGENT = 8 << 20
_UNSPEAKABLE = ("\n", '"', "\\")
_HOPS = 40


class Noted(NamedTuple):
    """What mkfs.ext4 would get wrong."""

    uid: int
    gid: int
    mode: int


class Checked:
    """A compressed layer as a stream of what is in it; both digests are compared at its end."""

    def __init__(self, path: Path, diff_id: str) -> None:
        self._file = path.open("rb")
        self._digest, self._diff = hashlib.sha256(), hashlib.sha256()
        self._wanted = path.name, diff_id.removeprefix("sha256:")
        self._codec = zlib.decompressobj(31)
        self._buffer = bytearray()

    def read(self, count: int) -> bytes:
        while len(self._buffer) < count and (piece := self._file.read(1 << 17)):
            self._digest.update(piece)
            inflated = self._codec.decompress(piece)
            self._diff.update(inflated)
            self._buffer += inflated
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def close(self) -> None:
        while self.read(1 << 20):
            pass
        self._file.close()
        if (self._digest.hexdigest(), self._diff.hexdigest()) != self._wanted:
            raise ValueError("a layer is not what its digests say")


class Flattened:
    """The directory, and what was noted of every path in it."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.noted: dict[str, Noted] = {}

    def layer(self, path: Path, diff_id: str) -> None:
        stream = Checked(path, diff_id)
        mine: set[str] = set()
        with tarfile.open(fileobj=cast(Any, stream), mode="r|", bufsize=1 << 20) as archive:
            for info in archive:
                name = os.path.normpath(info.name)
                if name != "." and not any(each in info.name for each in _UNSPEAKABLE):
                    self._entry(archive, info, name, mine)
        stream.close()

    def _entry(self, archive: tarfile.TarFile, info: tarfile.TarInfo, name: str, mine: set[str]) -> None:
        folder, last = os.path.split(name)
        folder = self._resolved(folder)
        path = os.path.join(folder, last)
        place = os.path.join(self.root, path)
        if last == ".wh..wh..opq":
            for each in os.listdir(os.path.join(self.root, folder)):
                if os.path.join(folder, each) not in mine:
                    self._remove(os.path.join(folder, each))
        elif last.startswith(".wh."):
            self._remove(os.path.join(folder, last[4:]))
        elif info.isdir() or info.isreg() or info.issym() or info.islnk():
            mine.add(path)
            if os.path.lexists(place) and not (info.isdir() and os.path.isdir(place) and not os.path.islink(place)):
                self._remove(path)
            self._extract(archive, info, path, place)

    def _extract(self, archive: tarfile.TarFile, info: tarfile.TarInfo, path: str, place: str) -> None:
        if info.isdir():
            os.makedirs(place, exist_ok=True)
        elif info.issym():
            os.symlink(info.linkname, place)
        elif info.islnk():
            folder, last = os.path.split(os.path.normpath(info.linkname))
            source = os.path.join(self._resolved(folder), last)
            os.link(os.path.join(self.root, source), place, follow_symlinks=False)
            self.noted[path] = self.noted[source]
            return
        else:
            with open(place, "wb") as target:
                content = archive.extractfile(info)
                assert content is not None
                shutil.copyfileobj(content, target, 1 << 20)
            os.chmod(place, info.mode | 0o600)
            os.utime(place, (info.mtime, info.mtime))
        kind = {tarfile.DIRTYPE: 0o040000, tarfile.SYMTYPE: 0o120000}.get(info.type, 0o100000)
        self.noted[path] = Noted(info.uid, info.gid, kind | (0o777 if info.issym() else info.mode))

    def _resolved(self, folder: str) -> str:
        """``folder`` with the symbolic links in it followed below the root; made where it is missing."""
        at, left, hops = "", folder.split("/")[::-1], 0
        while left:
            part = left.pop()
            if part in ("", "."):
                continue
            if part == "..":
                at = os.path.dirname(at)
                continue
            here = os.path.join(at, part)
            place = os.path.join(self.root, here)
            if os.path.islink(place):
                hops += 1
                if hops > _HOPS:
                    raise ValueError(f"too many symbolic links: {folder}")
                target = os.readlink(place)
                at = "" if target.startswith("/") else at
                left += target.split("/")[::-1]
            else:
                if not os.path.isdir(place):
                    os.mkdir(place)
                    self.noted[here] = Noted(0, 0, 0o040755)
                at = here
        return at

    def _remove(self, path: str) -> None:
        place = os.path.join(self.root, path)
        if os.path.isdir(place) and not os.path.islink(place):
            shutil.rmtree(place)
            for each in [each for each in self.noted if each.startswith(path + "/")]:
                del self.noted[each]
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(place)
        self.noted.pop(path, None)


def ownership(noted: dict[str, Noted]) -> str:
    """The script that gives every path its owner and mode."""
    lines = []
    for path in sorted(noted):
        uid, gid, mode = noted[path]
        quoted = f'"/{path}"'
        lines += [f"sif {quoted} uid {uid}", f"sif {quoted} gid {gid}", f"sif {quoted} mode 0{mode:o}"]
    return "\n".join(lines) + "\n"


def injection(directory: Path) -> str:
    """The script that puts an agent, a script, two units and two links in."""
    directory.mkdir()
    lines = [f"mkdir /{path}" for path in ("usr/local", "usr/local/bin", "usr/local/libexec", "etc/systemd")]
    lines += [f"mkdir /etc/{path}" for path in ("systemd/system", "modules-load.d")]
    lines += ["mkdir /etc/systemd/system/multi-user.target.wants"]
    files = {"usr/local/bin/agent": AGENT, "usr/local/libexec/network": 2000, "etc/modules-load.d/agent.conf": 20}
    files |= {"etc/systemd/system/agent.service": 400, "etc/systemd/system/network.service": 400}
    for number, (path, size) in enumerate(files.items()):
        (directory / str(number)).write_bytes(b"agent\n" * (size // 6))
        lines += [f"write {directory}/{number} /{path}", f"sif /{path} uid 0", f"sif /{path} gid 0"]
        lines += [f"sif /{path} mode 0100755"]
    for unit in ("agent", "network"):
        lines += [f"symlink /etc/systemd/system/multi-user.target.wants/{unit}.service ../{unit}.service"]
    return "\n".join(lines) + "\n"


def debugfs(script: str, image: Path) -> None:
    program = shutil.which("debugfs", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    assert program is not None
    subprocess.run(
        [program, "-w", "-f", "-", image], input=script.encode("utf-8", "surrogateescape"), check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def make(layout: Path, staging: Path, image: Path, size: int) -> dict[str, float]:
    """The image, and the seconds of each step."""
    flattened = Flattened(staging)

    def flatten() -> None:
        for blob, diff_id in described(layout):
            flattened.layer(blob, diff_id)

    def mkfs() -> None:
        with image.open("wb") as file:
            file.truncate(size)
        program = shutil.which("mkfs.ext4", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        assert program is not None
        subprocess.run([program, "-F", "-q", "-E", "root_owner=0:0", "-d", staging, image], check=True)

    steps: dict[str, Callable[[], None]] = {
        "flatten": flatten,
        "mkfs": mkfs,
        "owners": lambda: debugfs(ownership(flattened.noted), image),
        "inject": lambda: debugfs(injection(staging / ".inject"), image),
    }
    seconds = {}
    for name, step in steps.items():
        begun = time.perf_counter()
        step()
        seconds[name] = round(time.perf_counter() - begun, 3)
    return seconds


def described(layout: Path) -> list[tuple[Path, str]]:
    """The layers of a layout's first image, oldest first, with their diff_ids."""
    blobs = layout / "blobs/sha256"

    def document(digest: str) -> dict[str, Any]:
        return cast(dict[str, Any], json.loads((blobs / digest.removeprefix("sha256:")).read_text()))

    manifest = document(json.loads((layout / "index.json").read_text())["manifests"][0]["digest"])
    diff_ids = document(manifest["config"]["digest"])["rootfs"]["diff_ids"]
    files = [blobs / each["digest"].removeprefix("sha256:") for each in manifest["layers"]]
    return list(zip(files, diff_ids, strict=True))


if __name__ == "__main__":
    print(json.dumps(make(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))))
