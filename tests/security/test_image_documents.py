"""Attacks by what an image says about itself, in layouts and archives on disk: refused by name, and nothing is kept."""

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from banger import errors
from banger.api.image import PullImage
from tests import guest_images
from tests.ext4_image import Ext4Image
from tests.guest_images import Tar
from tests.installation import MIB, Daemon, Installation, scenario

LAYER = Tar().file("a", b"1" * 5000).bytes()
OTHER = Tar().file("a", b"2" * 5000).bytes()
Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path / "home")
    try:
        yield made
    finally:
        made.close()


class Layout:
    """A layout of one layer, whose documents can be changed and named again."""

    def __init__(self, directory: Path, layer: bytes = LAYER, compression: str = "gzip") -> None:
        self.directory = directory
        self.name = guest_images.write_layout(directory, [layer], compression=compression)

    def blob(self, digest: str) -> Path:
        return self.directory / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def document(self, digest: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.blob(digest).read_bytes())
        return found

    @property
    def index(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.directory / "index.json").read_bytes())
        return found

    @property
    def manifest(self) -> dict[str, Any]:
        return self.document(self.index["manifests"][0]["digest"])

    def write_index(self, index: dict[str, Any]) -> None:
        (self.directory / "index.json").write_text(json.dumps(index))

    def with_manifest(self, change: Change) -> None:
        """A changed manifest under a name that is right for it."""
        index, manifest = self.index, self.manifest
        change(manifest)
        stored = guest_images.store_blob(self.directory, index["manifests"][0]["mediaType"], manifest)
        index["manifests"][0] |= stored
        self.write_index(index)

    def with_config(self, change: Change) -> None:
        """A changed config under a name that is right for it."""
        config = self.document(self.manifest["config"]["digest"])
        change(config)
        stored = guest_images.store_blob(self.directory, self.manifest["config"]["mediaType"], config)
        self.with_manifest(lambda manifest: manifest.update(config=stored))


def left(installation: Installation) -> list[str]:
    """What is there of images, of work in progress, and in the cache what is no blob of its name."""
    paths = installation.paths
    found = [name for top in (paths.images, paths.staging) if os.path.isdir(top) for name in os.listdir(top)]
    cache = Path(paths.oci_cache)
    for path in cache.rglob("*") if cache.exists() else ():
        if path.parent == cache:
            found += [path.name] if path.name not in ("oci-layout", "index.json", "blobs", "lock") else []
        elif path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() != path.name:
            found.append(str(path))
    return found


async def pull(daemon: Daemon, reference: str) -> bytes:
    """The content of /a in the image."""
    await daemon.done(await daemon.images.pull(PullImage(reference=reference, name="x", size=64 * MIB)))
    image = daemon.images.show("x")
    scratch = Path(image.rootfs).parent.parent
    data = Ext4Image(image.rootfs, scratch).read()[b"a"].data
    shutil.rmtree(scratch / "debugfs")
    return data


async def fails(installation: Installation, reference: str, *kinds: type[errors.BangerError]) -> None:
    """The pull fails with one of these, in printable words, and leaves nothing."""
    async with installation.daemon() as daemon:
        with pytest.raises(kinds) as caught:
            await pull(daemon, reference)
        assert caught.type in kinds and caught.value.message.isprintable(), caught.value
        assert daemon.images.list() == [] and left(installation) == []


BLOBS: dict[str, Callable[[Layout], str]] = {
    "manifest": lambda layout: str(layout.index["manifests"][0]["digest"]),
    "config": lambda layout: str(layout.manifest["config"]["digest"]),
    "layer": lambda layout: str(layout.manifest["layers"][0]["digest"]),
}


@pytest.mark.parametrize("injury", ["other bytes", "shorter", "longer", "gone"])
@pytest.mark.parametrize("which", BLOBS)
@scenario
async def test_blob_that_is_not_what_its_digest_says(
    installation: Installation, tmp_path: Path, which: str, injury: str
) -> None:
    layout = Layout(tmp_path / "layout")
    path = layout.blob(BLOBS[which](layout))
    data = path.read_bytes()
    changed = {"other bytes": data[:-9] + b"X" + data[-8:], "shorter": data[:-1], "longer": data + b" "}.get(injury)
    path.unlink()
    if changed is not None:
        path.write_bytes(changed)
    await fails(installation, layout.name, errors.CorruptBlob, errors.DamagedBlob, errors.SourceUnavailable)


@pytest.mark.parametrize("size", [0, 1, 1 << 40, -1, 1 << 70])
@scenario
async def test_manifest_whose_sizes_lie(installation: Installation, tmp_path: Path, size: int) -> None:
    layout = Layout(tmp_path / "layout")
    layout.with_manifest(lambda manifest: manifest["layers"][0].update(size=size))
    kinds = (errors.CorruptBlob, errors.DamagedBlob, errors.SourceUnavailable, errors.DiskFull)
    await fails(installation, layout.name, *kinds)


@pytest.mark.parametrize("kind", ["text/plain", "application/vnd.oci.image.config.v1+json", "", "\x1b[31m"])
@scenario
async def test_layer_whose_media_type_is_none(installation: Installation, tmp_path: Path, kind: str) -> None:
    layout = Layout(tmp_path / "layout")
    layout.with_manifest(lambda manifest: manifest["layers"][0].update(mediaType=kind))
    await fails(installation, layout.name, errors.CorruptBlob, errors.SourceUnavailable)


@pytest.mark.parametrize("stored", ["gzip", "zstd", "none"])
@pytest.mark.parametrize("said", ["+gzip", "+zstd", ""])
@scenario
async def test_layer_whose_media_type_names_another_compression(
    installation: Installation, tmp_path: Path, stored: str, said: str
) -> None:
    """The bytes decide, as they do elsewhere; what the image holds is the same."""
    layout = Layout(tmp_path / "layout", compression=stored)
    kind = f"application/vnd.oci.image.layer.v1.tar{said}"
    layout.with_manifest(lambda manifest: manifest["layers"][0].update(mediaType=kind))
    async with installation.daemon() as daemon:
        assert await pull(daemon, layout.name) == b"1" * 5000


@scenario
async def test_diff_ids_that_lie(installation: Installation, tmp_path: Path) -> None:
    right = "sha256:" + hashlib.sha256(LAYER).hexdigest()
    for number, wrong in enumerate(([right[:-1] + "0"], [], [right, right], ["sha256:../../x"], ["md5:0"])):
        layout = Layout(tmp_path / f"layout{number}")
        layout.with_config(lambda config, wrong=wrong: config["rootfs"].update(diff_ids=wrong))  # type: ignore[misc]
        await fails(installation, layout.name, errors.CorruptBlob, errors.SourceUnavailable)


@pytest.mark.parametrize("platform", [("linux", "s390x"), ("windows", "amd64"), ("\x1b[31m", "amd64")])
@scenario
async def test_image_of_another_platform(installation: Installation, tmp_path: Path, platform: tuple[str, str]) -> None:
    layout = Layout(tmp_path / "layout")
    layout.with_config(lambda config: config.update(os=platform[0], architecture=platform[1]))
    await fails(installation, layout.name, errors.WrongPlatform)


@scenario
async def test_index_without_our_platform_and_one_that_holds_itself(installation: Installation, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    kind = "application/vnd.oci.image.index.v1+json"
    inner = layout.index["manifests"][0] | {"platform": {"os": "linux", "architecture": "s390x"}}
    del inner["annotations"]
    for entries in ([inner], []):
        nested = guest_images.store_blob(layout.directory, kind, {"schemaVersion": 2, "manifests": entries})
        nested["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
        layout.write_index({"schemaVersion": 2, "manifests": [nested]})
        await fails(installation, layout.name, errors.WrongPlatform, errors.SourceUnavailable, errors.CorruptBlob)
    described = guest_images.store_blob(layout.directory, kind, {"schemaVersion": 2})
    layout.blob(described["digest"]).write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))
    layout.write_index({"schemaVersion": 2, "manifests": [described | {"annotations": nested["annotations"]}]})
    await fails(installation, layout.name, errors.CorruptBlob, errors.SourceUnavailable, errors.WrongPlatform)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "[" * 100_000, '{"manifests":1}', '{"manifests":[{}]}', "\0"])
@scenario
async def test_index_that_is_none(installation: Installation, tmp_path: Path, text: str) -> None:
    layout = Layout(tmp_path / "layout")
    (layout.directory / "index.json").write_text(text)
    await fails(installation, layout.name, errors.CorruptBlob, errors.SourceUnavailable)


@scenario
async def test_more_layers_than_are_read(installation: Installation, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    layout.with_config(lambda config: config["rootfs"].update(diff_ids=config["rootfs"]["diff_ids"] * 600))
    layout.with_manifest(lambda manifest: manifest.update(layers=manifest["layers"] * 600))
    await fails(installation, layout.name, errors.CorruptBlob)


@scenario
async def test_layer_that_has_other_bytes_the_second_time(installation: Installation, tmp_path: Path) -> None:
    """What is in the cache is right and is used; without it the changed layer is refused."""
    layout = Layout(tmp_path / "layout")
    path = layout.blob(BLOBS["layer"](layout))
    async with installation.daemon() as daemon:
        assert await pull(daemon, layout.name) == b"1" * 5000
        path.write_bytes(gzip.compress(OTHER))
        await daemon.done(await daemon.images.delete("x"))
        assert await pull(daemon, layout.name) == b"1" * 5000
        await daemon.done(await daemon.images.delete("x"))
    shutil.rmtree(installation.paths.oci_cache)
    await fails(installation, layout.name, errors.CorruptBlob, errors.DamagedBlob, errors.SourceUnavailable)


# -- archives of docker save ------------------------------------------------------------------------------------------


def docker_archive(path: Path, layer: bytes = LAYER, **changes: object) -> str:
    """An archive as docker save writes it, with changed members of its manifest; returns its skopeo name."""
    diff_id = "sha256:" + hashlib.sha256(LAYER).hexdigest()
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [diff_id]}}
    manifest = [{"Config": "config.json", "RepoTags": ["x:latest"], "Layers": ["layer.tar"], **changes}]
    with tarfile.open(path, "w") as archive:
        for name, data in (
            ("layer.tar", layer), ("config.json", json.dumps(config).encode()),
            ("manifest.json", json.dumps(manifest).encode()),
        ):  # fmt: skip
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return f"docker-archive:{path}"


@scenario
async def test_docker_archive_that_is_sound(installation: Installation, tmp_path: Path) -> None:
    """The one that the others differ from."""
    async with installation.daemon() as daemon:
        assert await pull(daemon, docker_archive(tmp_path / "a.tar")) == b"1" * 5000


@pytest.mark.parametrize(
    "changes",
    [
        {"layer": OTHER}, {"layer": b"no archive"}, {"layer": b""}, {"Layers": ["../../../etc/passwd"]},
        {"Layers": ["/etc/passwd"]}, {"Layers": ["missing"]}, {"Layers": []}, {"Layers": ["layer.tar"] * 2},
        {"Config": "/etc/hostname"}, {"Config": "../config.json"}, {"Config": "layer.tar"},
    ],
)  # fmt: skip
@scenario
async def test_docker_archive_that_lies(installation: Installation, tmp_path: Path, changes: dict[str, Any]) -> None:
    name = docker_archive(tmp_path / "a.tar", **changes)
    await fails(installation, name, errors.CorruptBlob, errors.DamagedBlob, errors.SourceUnavailable)


@scenario
async def test_docker_archive_that_is_cut_or_no_archive(installation: Installation, tmp_path: Path) -> None:
    whole = tmp_path / "a.tar"
    name = docker_archive(whole)
    data = whole.read_bytes()
    for cut in (data[:3000], data[:300], b"", b"garbage" * 500):
        whole.write_bytes(cut)
        await fails(installation, name, errors.CorruptBlob, errors.SourceUnavailable)
