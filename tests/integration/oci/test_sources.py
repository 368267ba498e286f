"""Every transport that skopeo has: those that can run here bring the same files, the others say what is missing."""

import asyncio
import http.server
import json
import os
import socketserver
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
from pathlib import Path
from typing import ClassVar

import pytest

from banger import errors
from banger.oci import reference, transport
from banger.oci.cache import Cache
from tests import guest_images
from tests.registry import skopeo

CONTENT = {"etc/one": os.urandom(40_000), "etc/two": b"two\n"}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def layout(tmp_path: Path) -> str:
    layers = [guest_images.Tar().file(name, data).bytes() for name, data in CONTENT.items()]
    return guest_images.write_layout(tmp_path / "layout", layers, config=guest_images.CONFIGURED)


def fetch(name: str, cache: Path, told: list[tuple[int, int | None]] | None = None) -> transport.Fetched:
    hear = told if told is not None else []
    return asyncio.run(
        transport.fetch(
            reference.parse(name), str(cache), progress=lambda stage, done, total: hear.append((done, total))
        )
    )


def content(fetched: transport.Fetched) -> dict[str, bytes]:
    found = {}
    for layer in fetched.layers:
        with tarfile.open(layer.path) as archive:
            for entry in archive:
                if entry.isfile():
                    data = archive.extractfile(entry)
                    assert data is not None
                    found[entry.name.removeprefix("./")] = data.read()
    return found


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive", "dir"])
def test_an_image_comes_out_of_files(kind: str, cache: Path, layout: str, tmp_path: Path) -> None:
    name = {
        "oci": layout,
        "oci-archive": f"oci-archive:{tmp_path}/image.tar:one",
        "docker-archive": f"docker-archive:{tmp_path}/image.tar:demo/image:one",
        "dir": f"dir:{tmp_path}/image",
    }[kind]
    if kind != "oci":
        skopeo("copy", layout, name)
    told: list[tuple[int, int | None]] = []
    fetched = fetch(name, cache, told)
    assert content(fetched) == CONTENT
    assert fetched.config.entrypoint == tuple(guest_images.CONFIGURED["Entrypoint"])
    if kind != "oci-archive":  # to ask it first would unpack it twice
        assert told[-1][0] == told[-1][1]
    again: list[tuple[int, int | None]] = []
    assert fetch(name, cache, again) == fetched and not [done for done, _ in again if done]


def test_a_plain_archive_is_an_image_of_one_layer(cache: Path, tmp_path: Path) -> None:
    tar = guest_images.Tar()
    for name, data in CONTENT.items():
        tar.file(name, data)
    (tmp_path / "root.tar").write_bytes(tar.bytes())
    assert content(fetch(f"tarball:{tmp_path}/root.tar", cache)) == CONTENT


def test_an_image_of_singularity_is_an_image_of_one_layer(cache: Path, tmp_path: Path) -> None:
    for name, data in CONTENT.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_bytes(data)
    squash = ["mksquashfs", str(tmp_path / "root"), str(tmp_path / "squash"), "-quiet", "-no-progress", "-all-root"]
    subprocess.run(squash, check=True, capture_output=True, timeout=60)
    (tmp_path / "image.sif").write_bytes(sif((tmp_path / "squash").read_bytes()))
    assert content(fetch(f"sif:{tmp_path}/image.sif", cache)) == CONTENT


def sif(squash: bytes) -> bytes:
    """A file in the Singularity image format: a header, one descriptor, the root file system."""
    where, offset, arch = 4096, 8192, b"02"
    extra = struct.pack("<ii3s", 1, 2, arch)  # squashfs, the primary system, amd64
    entry = struct.pack("<i?IIIqqqqqqq", 0x4004, True, 1, 0xF0000001, 0, offset, *[len(squash)] * 2, 0, 0, 0, 0)
    entry += struct.pack("<128s384s", b"rootfs.squashfs", extra)
    head = struct.pack("<32s10s3s3s16s", b"#!/bin/false\n", b"SIF_MAGIC", b"01", arch, bytes(16))
    head += struct.pack("<8q", 0, 0, 0, 1, where, len(entry), offset, len(squash))
    return (head.ljust(where, b"\0") + entry).ljust(offset, b"\0") + squash


def test_an_image_comes_out_of_the_storage_of_podman(cache: Path, layout: str, tmp_path: Path) -> None:
    """As a plain user skopeo enters a user namespace for it; so does who removes it."""
    storage = f"[vfs@{tmp_path}/storage/root+{tmp_path}/storage/run]"
    name = f"containers-storage:{storage}localhost/demo/image:one"
    try:
        skopeo("copy", layout, name)
        fetched = fetch(name, cache)
        assert content(fetched) == CONTENT
        with pytest.raises(errors.SourceUnavailable, match="no such image in that storage"):
            fetch(f"containers-storage:{storage}localhost/nothing:one", cache)
        own = json.loads((tmp_path / "layout/index.json").read_bytes())["manifests"][0]["digest"]
        assert fetch(layout, cache).digest == own != fetched.digest  # the storage keeps layers uncompressed
    finally:
        subprocess.run(["chmod", "-R", "u+rwx", str(tmp_path / "storage")], check=False, timeout=60)


class DockerDaemon(http.server.BaseHTTPRequestHandler):
    """What skopeo asks a Docker daemon: one image, as ``docker save`` writes it."""

    saved = b""
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200 if "/images/get?names=" in self.path else 404)
        self.end_headers()
        if "/images/get?names=" in self.path:
            self.wfile.write(self.saved)

    def address_string(self) -> str:
        return "the peer of a local socket has no address"

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


def test_an_image_comes_out_of_a_docker_daemon_where_its_variable_says(
    cache: Path, layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skopeo("copy", layout, f"docker-archive:{tmp_path}/image.tar:demo/image:one")
    monkeypatch.setattr(DockerDaemon, "saved", (tmp_path / "image.tar").read_bytes())
    with (
        tempfile.TemporaryDirectory(prefix="bt-") as short,
        socketserver.ThreadingUnixStreamServer(f"{short}/docker.sock", DockerDaemon) as server,
    ):
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            monkeypatch.setenv("DOCKER_HOST", f"unix://{short}/docker.sock")
            fetched = fetch("docker-daemon:demo/image:one", cache)
        finally:
            server.shutdown()
            thread.join()
    assert content(fetched) == CONTENT
    assert [each.partition("names=")[2] for each in DockerDaemon.asked if "names=" in each] == ["demo%2Fimage%3Aone"]


MISSING = [
    ("docker-daemon:nothing:one", "there is no Docker daemon to ask"),
    ("ostree:demo@/var/lib/nothing", "built without that transport"),
    ("sif:{}/nothing.sif", "no such file"),
    ("sif:{}/rubbish", "invalid SIF magic"),
    ("oci:{}/layout:nothing", "no such image or tag"),
    ("oci:{}/nothing", "no such file"),
    ("oci-archive:{}/nothing.tar", "no such file"),
    ("docker-archive:{}/nothing.tar", "no such file"),
    ("dir:{}/nothing", "no such file"),
    ("tarball:{}/nothing.tar", "no such file"),
]


@pytest.mark.parametrize(("name", "said"), MISSING)
def test_what_is_not_there_is_named(name: str, said: str, cache: Path, layout: str, tmp_path: Path) -> None:
    (tmp_path / "rubbish").write_bytes(bytes(4096))
    with pytest.raises(errors.SourceUnavailable) as caught:
        fetch(name.format(tmp_path), cache)
    assert said in caught.value.message and name.format(tmp_path) in caught.value.message
    assert Cache(str(cache)).entries() == [] and not list(cache.glob("pull-*"))


@pytest.mark.parametrize("transport_name", ["docker-archive", "oci-archive"])
def test_rubbish_is_no_archive(transport_name: str, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "rubbish").write_bytes(b"no archive at all" * 100)
    with pytest.raises((errors.CorruptBlob, errors.SourceUnavailable)):
        fetch(f"{transport_name}:{tmp_path}/rubbish", cache)


def test_a_full_disk_ends_the_pull_and_with_room_the_next_one_goes_on(layout: str, tmp_path: Path) -> None:
    skopeo("copy", layout, f"oci-archive:{tmp_path}/image.tar")
    settings = {"directory": str(tmp_path), "source": layout}
    scene = Path(__file__).parent / "full_cache_scene.py"
    ended = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "--", sys.executable, str(scene), json.dumps(settings)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ended.returncode == 0, ended.stderr
