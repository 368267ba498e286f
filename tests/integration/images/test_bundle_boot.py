"""From an archive and a directory to a machine: both bundles, a catalog that names them, and one command.

The machine boots the bundle's image with the bundle's kernel; a second one boots the same file system registered where
it lies.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from banger.bundles.pack import Packed
from banger.kernels import kernel as kernels
from banger.kernels import modules
from banger.kernels.service import DISTRIBUTION
from tests import guest_images
from tests.home import Home, passable
from tests.web import Bundle

TOOLS = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}


def kernel_directory(home: Home, target: Path) -> str:
    """The distribution's kernel with no more modules than a machine needs; returns its release."""
    source = Path(home.paths.kernel(DISTRIBUTION))
    release = kernels.load(str(source)).release
    whole = target / "whole"
    whole.mkdir(parents=True)
    subprocess.run(
        ["debugfs", "-R", f"rdump /{release} {whole}", str(source / kernels.MODULES)],
        env=TOOLS,
        check=True,
        capture_output=True,
        timeout=120,
    )
    tree = whole / release
    for name in [*modules.load_order(str(tree)), "modules.order", "modules.builtin", "modules.builtin.modinfo"]:
        place = target / "modules" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tree / name, place)
    shutil.rmtree(whole)
    shutil.copy(source / kernels.BZIMAGE, target / "bzImage")
    return release


def made(home: Home, verb: str, *arguments: str, stdin: bytes | None = None) -> Bundle:
    told = home.banger("internal", verb, *arguments, "--json", stdin=stdin, check=True).stdout
    packed = Packed(**json.loads(told))
    return Bundle(Path(packed.path).read_bytes(), packed)


@pytest.mark.qemu
def test_a_machine_of_bundles_and_one_of_a_registered_file(stocked: Home, tmp_path: Path) -> None:
    home = stocked
    release = kernel_directory(home, tmp_path / "kernel")
    catalogs = Path(home.paths.catalogs)
    catalogs.mkdir(parents=True)
    kernel = made(
        home, "make-kernel-bundle",
        *("--from", str(tmp_path / "kernel"), "--name", "small", "--out", str(catalogs / "small.tar.zst")),
    )  # fmt: skip
    image = made(
        home, "make-bundle",
        *("--rootfs-tar", "-", "--name", "box", "--kernel-ref", "small", "--size", "64M"),
        *("--out", str(catalogs / "box.tar.zst")), stdin=guest_images.busybox_tar(),
    )  # fmt: skip
    text = image.entry("box", "box.tar.zst") + kernel.entry("small", "small.tar.zst", "kernel")
    (catalogs / "own.toml").write_text(text)
    assert "small" in home.banger("kernel", "list", "--catalog", check=True).stdout
    assert "box" in home.banger("internal", "complete", "--", "image", "pull", "b", check=True).stdout.split()

    ran = home.banger("run", "--rm", "--image", "box", "--", "sh", "-c", "uname -r; cat /etc/passwd", check=True)
    assert ran.stdout.splitlines()[0] == release and "root:" in ran.stdout
    shown = home.banger("image", "show", "box", "--json", check=True).json()
    assert isinstance(shown, dict) and (shown["kind"], shown["kernel"]) == ("bundle", "small")
    refused = home.banger("kernel", "delete", "small")
    assert refused.status == 4 and "image box" in refused.stderr
    again = home.banger("kernel", "pull", "small")
    assert again.status == 4 and "--force" in again.stderr

    with passable(tmp_path) as place:
        own = place / "own.ext4"
        subprocess.run(["cp", "--sparse=always", str(shown["rootfs"]), own], check=True, timeout=60)
        own.chmod(0o644)
        before = own.stat()
        home.banger("image", "register", "mine", "--rootfs", str(own), "--kernel", "small", check=True)
        ran = home.banger("run", "--rm", "--image", "mine", "--", "sh", "-c", "uname -r; echo x >/written", check=True)
        assert ran.stdout.strip() == release
        assert (own.stat().st_mtime_ns, own.stat().st_size) == (before.st_mtime_ns, before.st_size)
        home.banger("image", "delete", "mine", check=True)
        assert own.exists()
    assert os.listdir(home.paths.staging) == []
