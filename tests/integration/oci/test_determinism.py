"""The same layers give the same bytes: on any machine, for any user, at any time, however they are read and written.

Each case builds in a process of its own, under conditions that the first did not have.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.digests import named
from tests.ext4_image import sound
from tests.guest_images import Tar, compress

NOISE = os.urandom(3_000_000)
"""Data that does not shrink, so that pieces are cut in many ways."""

PREPARE = {
    "as it is": "",
    "zlib": "import gzip; inflate.GzipFile = gzip.GzipFile",
    "small reads": "inflate._INPUT, inflate.PIECE = 1000, 70_000",
    "large reads": "inflate._INPUT = inflate.PIECE = 4 << 20",
    "one buffer": "blob.BUFFERS = 1",
    "page cache": "writer.unbuffered = lambda descriptor, access: os.dup(descriptor)",
    "another clock": "import time; time.time = time.time_ns = lambda: 0",
    "small buffers": "writer.BUFFER = data.BUFFER = copier.BUFFER = 1 << 16",
}
"""What is done to the builder's modules before it runs."""

ENCODED = "import sys; assert sys.getfilesystemencoding() == {!r}"

RUN = """\
import os
from banger.disk.ext4 import copier, data, writer
from banger.oci import blob, child, inflate
{}
child.main()
"""


def layers() -> list[bytes]:
    lower = Tar().directory("d", 0o1777, uid=7, mtime=5).file("d/noise", NOISE).file("d/x", b"x" * 70_000)
    lower.hardlink("link", "d/x").symlink("s", "d/" + "t" * 70).symlink("İı", "ß").file(
        "zeros", bytes(500_000) + b"1" + bytes(99_999)
    )
    for number in range(400):
        lower.file(f"many/{number:0100}", b"%d" % number, pax_headers={"SCHILY.xattr.user.n": str(number % 3)})
    upper = Tar().file("d/x", b"new").file(".wh.s").file("many/.wh.7").file("d/noise2", NOISE[::-1])
    return [lower.bytes(), upper.bytes()]


@pytest.fixture
def request_of(tmp_path: Path) -> dict[str, object]:
    sources = [
        named(compress(each, "gzip"), tmp_path / f"layer{number}", content=each) for number, each in enumerate(layers())
    ]
    described = [
        {name: getattr(each, name) for name in ("path", "name", "digest", "size", "diff_id")} for each in sources
    ]
    return {"layers": described, "seed": "sha256:1", "size": 64 << 20}


def built(
    directory: Path, request: dict[str, object], *, prepare: str = "", user: bool = False, **variables: str
) -> str:
    """The digest of the image that a builder writes under these conditions."""
    output = directory / f"image{time.monotonic_ns()}"
    argv = [sys.executable, "-P", "-c", RUN.format(prepare or "pass")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **variables}
    subprocess.run(
        ["unshare", "-U", "--", *argv] if user else argv, input=json.dumps({**request, "output": str(output)}).encode(),
        env=environment, check=True, stdout=subprocess.DEVNULL, timeout=120, umask=int(variables.get("UMASK", "22"), 8),
    )  # fmt: skip
    sound(output)
    return hashlib.sha256(output.read_bytes()).hexdigest()


def test_however_it_is_read_and_written(tmp_path: Path, request_of: dict[str, object]) -> None:
    found = {name: built(tmp_path, request_of, prepare=code) for name, code in PREPARE.items()}
    assert len(set(found.values())) == 1, found


def test_whoever_builds_and_wherever(tmp_path: Path, request_of: dict[str, object]) -> None:
    ascii, utf8 = ENCODED.format("ascii"), ENCODED.format("utf-8")
    first = built(
        tmp_path, request_of, prepare=ascii, PYTHONHASHSEED="1", TZ="UTC", UMASK="77",
        LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0",  # by itself Python makes UTF-8 of it
    )  # fmt: skip
    second = built(
        tmp_path, request_of, prepare=utf8, PYTHONHASHSEED="2", TZ="Pacific/Apia", UMASK="0", LC_ALL="C.UTF-8"
    )
    assert first == second
    tmp_path.chmod(0o777)
    for parent in (tmp_path, *tmp_path.parents):
        if os.stat(parent).st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(os.stat(parent).st_mode | 0o011)
    for layer in tmp_path.glob("layer*"):
        layer.chmod(0o644)
    assert built(tmp_path, request_of, user=True) == first


def test_composed_or_read(tmp_path: Path, request_of: dict[str, object]) -> None:
    first = built(tmp_path, request_of)
    known = {**request_of, "indexes": str(tmp_path / "indexes")}
    output = tmp_path / "kept"
    subprocess.run(
        [sys.executable, "-P", "-m", "banger.oci.child"], check=True, stdout=subprocess.DEVNULL, timeout=120,
        input=json.dumps({**known, "output": str(output), "home": str(output)}).encode(),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert len(list((tmp_path / "indexes").glob("*.idx"))) == 2
    assert built(tmp_path, known) == first


def test_however_it_was_compressed(tmp_path: Path, request_of: dict[str, object]) -> None:
    first = built(tmp_path, request_of)
    for compression in ("zstd", "none"):
        sources = []
        for number, archive in enumerate(layers()):
            layer = named(compress(archive, compression), tmp_path / f"{compression}{number}", content=archive)
            sources.append({"path": layer.path, "name": layer.name, "diff_id": layer.diff_id})
        assert built(tmp_path, {**request_of, "layers": sources}) == first, compression
