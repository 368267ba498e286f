"""The kernel's own opinion of an image: mounted, written to, unmounted, checked. Needs root and a loop device."""

import subprocess
from pathlib import Path

import pytest

from banger.oci.build import LayerSource, build_image
from tests.ext4_image import Ext4Image
from tests.guest_images import Tar


@pytest.mark.root
def test_the_kernel_mounts_and_writes_it(tmp_path: Path) -> None:
    layer = Tar().directory("many").symlink("link", "many").file("file", b"data" * 5000, 0o4755, uid=70000)
    for number in range(1000):
        layer.file(f"many/a file with a rather long name {number}")
    (tmp_path / "layer").write_bytes(layer.bytes())
    image = tmp_path / "image"
    build_image([LayerSource(path=str(tmp_path / "layer"), name="l")], str(image), size=128 << 20, seed="mount")
    place = tmp_path / "mounted"
    place.mkdir()
    subprocess.run(["/bin/mount", "-o", "loop", image, place], check=True, timeout=60)
    try:
        assert (place / "file").read_bytes() == b"data" * 5000
        assert (place / "file").stat().st_uid == 70000
        assert len(list((place / "many").iterdir())) == 1000
        for number in range(1000):
            (place / f"link/new {number}").write_bytes(b"new")
        for number in range(0, 1000, 3):
            (place / f"many/a file with a rather long name {number}").unlink()
    finally:
        subprocess.run(["/bin/umount", place], check=True, timeout=60)
    Ext4Image(image, tmp_path).check()
