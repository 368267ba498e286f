"""Pulls by the command line: two clients of one download, and a daemon that is killed in the middle of one."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.images.record import ROOTFS
from tests import guest_images
from tests.home import Home
from tests.proxy import Proxy
from tests.registry import Registry

BIG = 2 << 20


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """Before a registry that has ``demo/big:one``."""
    layers = [guest_images.Tar().file("f", os.urandom(BIG)).bytes(), guest_images.Tar().file("g").bytes()]
    with Registry(tmp_path) as registry, Proxy(registry.port) as running:
        registry.push(guest_images.write_layout(tmp_path / "layout", layers), "demo/big:one")
        yield running


def operations(home: Home) -> list[str]:
    """The changes under way, in the words of the API."""
    from banger.sdk.client import Client

    with Client(home.paths.socket) as client:
        return [each.kind for each in client.operation_list().operations if not each.ended]


def images_begun(home: Home) -> list[Path]:
    """The file systems that are being written."""
    return list(Path(home.paths.staging).glob(f"*/{ROOTFS}"))


def test_ctrl_c_of_one_client_takes_nothing_from_the_other(home: Home, proxy: Proxy) -> None:
    name = proxy.reference("demo/big:one")
    home.banger("daemon", "start", check=True)
    with proxy.held(BIG // 2):
        first, second = (home.start("image", "pull", name, "--size", "64M") for _ in range(2))
        assert proxy.reached.wait(60)
        while operations(home).count("image.pull") < 2:
            pass
        first.send_signal(signal.SIGINT)
        assert first.wait(60) == 130
    output, words = second.communicate(timeout=120)
    assert (second.returncode, output.decode().strip()) == (0, name), words.decode()
    assert len(proxy.asked(part="/blobs/")) == 4  # two layers, and twice their config
    first.communicate()

    assert home.banger("image", "list", "-q", check=True).stdout.split() == [name]
    planned = home.banger("image", "cache", "prune", "--dry-run", "--json", check=True).json()
    assert isinstance(planned, dict) and planned["blobs"] == 4 and planned["dry_run"]
    table = home.banger("image", "cache", "prune", check=True).stdout.split()
    assert table[:5] == ["WHAT", "BLOBS", "SIZE", "removed", "4"]
    empty = home.banger("image", "cache", "prune", "--json", check=True).json()
    assert empty == {"blobs": 0, "bytes": 0, "dry_run": False}


def test_after_kill_9_of_the_daemon_the_next_one_sweeps_and_goes_on(home: Home, proxy: Proxy) -> None:
    name = proxy.reference("demo/big:one")
    home.banger("daemon", "start", check=True)
    pid = int(Path(home.paths.lock).read_text().split()[0])
    cache = Path(home.paths.oci_cache)
    with proxy.held(BIG // 2):
        pull = home.start("image", "pull", name, "--size", "64M")
        assert proxy.reached.wait(60)
        while len(list((cache / "blobs/sha256").iterdir())) < 1 or not images_begun(home):
            pass
        os.kill(pid, signal.SIGKILL)
        pull.communicate(timeout=60)
        assert pull.returncode == 1  # it has asked the next daemon, which undid the change
        assert not list(cache.glob("pull-*")) and not os.listdir(home.paths.staging)
        assert home.banger("image", "list", "-q", check=True).stdout == ""
    proxy.forget()
    home.banger("image", "pull", name, "--size", "64M", check=True)
    assert len(proxy.asked(part="/blobs/")) == 3  # the layer that had not come whole, and twice the config
