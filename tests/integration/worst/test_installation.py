"""Accidents of an installation: twenty who want one name, no monitor, no space on the disk."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from banger.guest.assets import agent_path
from banger.kernels.service import DISTRIBUTION
from banger.vmm.drivers import VARIABLE
from tests import guest_images
from tests.home import Home
from tests.installation import fake_kernel
from tests.integration.worst.conftest import SMALL, names, record_count, show, started, stocked_room, until

HOST_TOOLS = ("mke2fs", "mkfs.ext4", "e2fsck", "resize2fs", "skopeo", "unshare", "newuidmap", "newgidmap", "tar")


def tiny_image(home: Home) -> str:
    layer = guest_images.Tar().directory("etc").file("random", os.urandom(3 << 20)).bytes()
    return guest_images.write_layout(home.directory / "layout", [layer])


def test_of_twenty_clients_that_want_one_name_one_wins(home: Home) -> None:
    home.env[VARIABLE] = "fake"
    fake_kernel(Path(home.paths.kernel(DISTRIBUTION)), agent_path())
    home.banger("image", "pull", tiny_image(home), "--name", "tiny", check=True)
    clients = [home.start("vm", "create", "--name", "one", "--image", "tiny", "--no-start") for _ in range(20)]
    said = [client.communicate(timeout=200)[1].decode() for client in clients]
    assert sorted(client.returncode for client in clients) == [0, *[4] * 19], said
    losers = [text for client, text in zip(clients, said, strict=True) if client.returncode]
    assert all("there is already a machine named 'one'" in text for text in losers), losers
    assert names(home) == ["one"]
    assert record_count(home, "vms") == len(os.listdir(home.paths.vms)) == 1
    home.banger("vm", "delete", "one", check=True)


def test_without_a_monitor_its_package_is_named(home: Home) -> None:
    tools = home.directory / "bin"
    tools.mkdir()
    for name in HOST_TOOLS:
        found = shutil.which(name, path=os.defpath + ":/usr/sbin:/sbin")
        if found is not None:
            (tools / name).symlink_to(found)
    home.env["PATH"] = str(tools)
    for words, status in ((("vm", "create"), 1), (("run", "--rm", "--", "true"), 125)):
        ended = home.banger(*words)
        assert ended.status == status, ended.stderr
        assert "qemu-system-x86_64 is not installed" in ended.stderr
        assert "apt-get install qemu-system-x86" in ended.stderr
    assert names(home) == []


# -- a full disk ------------------------------------------------------------------------------------------------------


@contextmanager
def small_disk(directory: str, size: str) -> Iterator[None]:
    """A file system of that size at ``directory``."""
    os.makedirs(directory, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=711", "tmpfs", directory], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", directory], check=True)


@pytest.mark.root
def test_a_disk_that_is_full_while_an_image_is_pulled(home: Home) -> None:
    layout = tiny_image(home)
    with small_disk(home.paths.staging, "512k"):
        ended = home.banger("image", "pull", layout, "--name", "big")
        assert ended.status == 1
        assert f"no space left on the disk that holds {home.paths.staging}" in ended.stderr
        assert "free some space" in ended.stderr
        assert os.listdir(home.paths.staging) == []
        assert home.banger("image", "list", "-q", check=True).stdout == ""
        home.stop()


@pytest.mark.root
def test_a_disk_that_is_full_while_an_image_is_built(home: Home) -> None:
    with small_disk(home.paths.staging, "2m"):
        ended = home.banger("image", "build", "own", "--suite", "bookworm")
        assert ended.status == 1, ended.stderr
        assert "no space left on the disk" in ended.stderr
        assert os.listdir(home.paths.staging) == []
        assert home.banger("image", "list", "-q", check=True).stdout == ""
        home.stop()


@pytest.mark.root
@pytest.mark.qemu
def test_a_disk_that_is_full_while_a_machine_boots_and_while_it_works(tmp_path_factory: pytest.TempPathFactory) -> None:
    with stocked_room(tmp_path_factory.mktemp("full")) as home, small_disk(home.paths.vms, "1m"):
        layout = guest_images.busybox(home.directory / "layout")
        home.banger("image", "pull", layout, "--name", "busybox", check=True)
        ended = home.banger("run", "--rm", "--image", "busybox", *SMALL, "--", "true")
        assert ended.status == 125
        assert f"no space left on the disk that holds {home.paths.vms}" in ended.stderr
        assert os.listdir(home.paths.vms) == []
        assert record_count(home, "vms") == 0

        resize(home.paths.vms, "16m")
        home.banger("vm", "create", "--name", "web", "--image", "busybox", *SMALL, check=True)
        write = "head -c 50000000 /dev/zero >/large && sync && wc -c </large"
        with started(home, "exec", "web", "--", "sh", "-c", write) as client:
            until(lambda: "probably full" in str(show(home, "web")["error"]), "word of the full disk")
            assert show(home, "web")["state"] == "running"
            resize(home.paths.vms, "200m")
            out, _ = client.communicate(timeout=120)
            assert (client.returncode, out) == (0, b"50000000\n")
        until(lambda: show(home, "web")["error"] is None, "word that it goes on")
        home.banger("rm", "web", check=True)
        home.stop()


def resize(directory: str, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", directory], check=True)
