"""Real builds on a base: Debian in a machine, its own apt, and the machine's disk as an image, which boots."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger import proc
from banger.api.image import PullImage
from banger.api.recipe import BuildImage, RecipeConfig, RecipeFile
from banger.kernels.service import DISTRIBUTION
from tests import guest_images
from tests.guest_images import Tar
from tests.installation import MIB, Installation, scenario
from tests.integration.vms.real import qemu, stocked_kernel

pytestmark = pytest.mark.qemu

CONTROL = """\
Package: tiny-tool
Version: 1.0
Architecture: all
Maintainer: Nobody <nobody@example.org>
Description: a package that is there for a test
"""
POSTINST = "#!/bin/sh\nset -e\ninvoke-rc.d tiny start\ntouch /held\n"


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path, qemu)
    try:
        os.makedirs(made.paths.kernels)
        if os.geteuid() == 0:  # monitors run as users of their own and must find their way
            for directory in (tmp_path, *tmp_path.parents):
                if directory.is_relative_to(tempfile.gettempdir()):
                    directory.chmod(directory.stat().st_mode & 0o7777 | 0o011)
        shutil.copytree(stocked_kernel(), made.paths.kernel(DISTRIBUTION))
        yield made
    finally:
        made.close()


def archive(scratch: Path) -> bytes:
    """A layer with an archive of one package, and apt told to look nowhere else."""
    tree = scratch / "tiny-tool"
    for name, text, mode in (
        ("DEBIAN/control", CONTROL, 0o644),
        ("DEBIAN/postinst", POSTINST, 0o755),
        ("usr/bin/tiny-tool", "#!/bin/sh\necho tiny\n", 0o755),
        ("etc/init.d/tiny", "#!/bin/sh\ntouch /started\n", 0o755),
    ):
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
    tree.chmod(0o755)
    package = scratch / "tiny-tool.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, package], check=True, capture_output=True)
    data = package.read_bytes()
    index = f"{CONTROL}Filename: ./tiny-tool.deb\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
    layer = Tar().directory("srv").directory("srv/archive").file("srv/archive/tiny-tool.deb", data)
    layer.file("srv/archive/Packages", index.encode())
    return layer.file("etc/apt/sources.list", b"deb [trusted=yes] file:/srv/archive ./\n").bytes()


def read(image: str, path: str) -> str | None:
    """A file of an image, or None; nothing is mounted."""
    done = subprocess.run([proc.find("debugfs"), "-R", f"cat {path}", image], capture_output=True, check=True)
    return None if b"File not found" in done.stderr else done.stdout.decode()


@pytest.mark.timeout(600)
@scenario
async def test_a_machine_becomes_an_image(installation: Installation, tmp_path: Path) -> None:
    layers = [guest_images.debian_tar().read_bytes(), archive(tmp_path)]
    config = {"Cmd": ["/bin/bash"], "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "FROM=base"]}
    layout = guest_images.write_layout(tmp_path / "layout", layers, config=config, compression="none")
    recipe = BuildImage(
        name="built",
        base="base",
        packages=["tiny-tool"],
        files=[RecipeFile(path="/etc/greeting", content=b"hello\n", mode=0o4755, owner="games:www-data")],
        commands=[
            "tiny-tool >/result; echo $FROM $TO >>/result; stat -c '%U:%G %a' /etc/greeting >>/result",
            "cat /proc/1/comm >>/result; getent hosts localhost >/dev/null; echo some >/etc/machine-id",
        ],
        config=RecipeConfig(env={"TO": "image"}),
    )
    async with installation.daemon() as daemon:
        await daemon.done(await daemon.images.pull(PullImage(reference=layout, name="base")))
        ended = await daemon.done(await daemon.builds.build(recipe))
        assert ended.notices == [] and daemon.vms.list() == [] and installation.machine_files() == []
        image = daemon.images.show("built")
        base = daemon.images.show("base")
        subprocess.run([proc.find("e2fsck"), "-fn", image.rootfs], check=True, capture_output=True)  # noqa: ASYNC221
        assert read(image.rootfs, "/result") == "tiny\nbase image\ngames:www-data 4755\ninit\n"
        assert read(image.rootfs, "/held") == "" and read(image.rootfs, "/started") is None
        assert read(image.rootfs, "/etc/hostname") == "localhost\n" and read(image.rootfs, "/etc/machine-id") == ""
        for path in ("/etc/resolv.conf", "/usr/sbin/policy-rc.d", "/var/lib/apt/lists/_srv_archive_._Packages"):
            assert read(image.rootfs, path) is None, path
        assert read(base.rootfs, "/result") is None
        assert (image.size, image.init, image.config.cmd) == (base.size, base.init, ["/bin/bash"])
        assert image.allocated < base.allocated + (48 << 20)


STARTED = "until systemctl is-active -q multi-user.target 2>/dev/null; do sleep 0.5; done"
BANNER = "bash -c 'read -r said </dev/tcp/127.0.0.1/22 && echo $said'"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@scenario
async def test_a_base_without_an_init_gets_systemd_and_an_ssh_server_that_runs(
    installation: Installation, tmp_path: Path
) -> None:
    """Its packages come from the distribution's own mirror, through the machine's own network."""
    layout = guest_images.debian(tmp_path / "layout")
    async with installation.daemon() as daemon:
        await daemon.done(await daemon.images.pull(PullImage(reference=layout, name="base")))
        assert daemon.images.show("base").init is None
        recipe = BuildImage(name="server", base="base", systemd=True, ssh=True)
        ended = await daemon.done(await daemon.builds.build(recipe))
        assert ended.notices == [] and installation.machine_files() == []
        assert daemon.images.show("server").init == "/sbin/init"
        keys = []
        for name in ("one", "two"):
            await daemon.create(name, image="server", memory=512 * MIB)
            assert (await daemon.vms.health(name)).init == "/sbin/init"
            script = f"{STARTED}; systemctl is-active ssh; {BANNER}; cat /etc/ssh/ssh_host_*_key.pub"
            code, told = await daemon.run(name, "sh", "-c", script, user="root")
            active, banner, key = told.splitlines()
            assert (code, active, banner[:15]) == (0, "active", "SSH-2.0-OpenSSH"), told
            keys.append(key)
            await daemon.done(await daemon.vms.delete(name))
        assert keys[0] != keys[1], "each machine makes its own"
