"""Fetching from a real registry, a layout and an archive, and what goes wrong there."""

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger import errors
from banger.oci import reference, transport
from tests import guest_images
from tests.registry import PASSWORD, USER, Registry, skopeo

PLATFORM = ("linux", "amd64")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry(tmp_path) as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def fetch(name: str, cache: Path, told: list[int] | None = None) -> transport.Fetched:
    return asyncio.run(
        transport.fetch(
            reference.parse(name),
            str(cache),
            progress=lambda stage, done, total: told.append(done) if told is not None else None,
        )
    )


def small(directory: Path, text: bytes = b"hello\n", **options: str) -> str:
    layers = [guest_images.Tar().file("a", text).bytes(), guest_images.Tar().file("b", text * 2).bytes()]
    return guest_images.write_layout(directory, layers, config=guest_images.CONFIGURED, **options)


def blobs(cache: Path) -> set[str]:
    return {path.name for path in (cache / "blobs/sha256").iterdir()}


def test_an_image_comes_out_of_a_registry(registry: Registry, cache: Path, tmp_path: Path) -> None:
    name = registry.push(small(tmp_path / "layout"), "demo/small:one")
    fetched = fetch(name, cache)
    assert fetched.digest.startswith("sha256:")
    assert [Path(layer.path).stat().st_size for layer in fetched.layers] == [layer.size for layer in fetched.layers]
    assert fetched.config.entrypoint == tuple(guest_images.CONFIGURED["Entrypoint"])
    assert fetched.config.env == tuple(guest_images.CONFIGURED["Env"])
    assert (fetched.config.user, fetched.config.workdir) == ("worker", "/srv/work")
    assert fetched.config.labels == {"org.example.kind": "configured"}
    assert not list(cache.glob("pull-*"))


def test_the_users_own_credentials_open_a_registry(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Registry(tmp_path, locked=True) as registry:
        credentials = f"--dest-creds={USER}:{PASSWORD}"
        name = registry.push(small(tmp_path / "layout"), "demo/secret:one", credentials)
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "none.json"))
        with pytest.raises(errors.SourceUnavailable, match="access refused; 'skopeo login'"):
            fetch(name, cache)
        word = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        login = {"auths": {name.partition("/")[0]: {"auth": word}}}
        (tmp_path / "auth.json").write_text(json.dumps(login))
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
        assert len(fetch(name, cache).layers) == 2


def test_a_second_pull_downloads_no_blob(registry: Registry, cache: Path, tmp_path: Path) -> None:
    name = registry.push(small(tmp_path / "layout"), "demo/small:one")
    first = fetch(name, cache)
    said = registry.requests()
    assert all(f"GET /v2/demo/small/blobs/{layer.digest} " in said for layer in first.layers)
    registry.log.write_text("")
    second = fetch(name, cache)
    assert second == first
    again = registry.requests()
    assert "GET /v2/demo/small/manifests/one" in again
    assert not any(f"GET /v2/demo/small/blobs/{layer.digest}" in again for layer in first.layers)


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_layers_keep_their_compression(cache: Path, tmp_path: Path, compression: str) -> None:
    fetched = fetch(small(tmp_path / "layout", compression=compression), cache)
    suffix = {"gzip": "+gzip", "zstd": "+zstd", "none": ""}[compression]
    assert {layer.media_type for layer in fetched.layers} == {f"application/vnd.oci.image.layer.v1.tar{suffix}"}


def test_a_docker_archive_is_a_source(cache: Path, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    skopeo("copy", small(tmp_path / "layout"), f"docker-archive:{archive}:demo/small:one")
    assert len(fetch(f"docker-archive:{archive}", cache).layers) == 2


def test_an_unknown_image_is_named(registry: Registry, cache: Path) -> None:
    with pytest.raises(errors.SourceUnavailable, match="there is no such image or tag") as caught:
        fetch(registry.reference("demo/nothing:here"), cache)
    assert registry.reference("demo/nothing:here") in caught.value.message


def test_a_registry_that_is_down_is_named(registry: Registry, cache: Path, tmp_path: Path) -> None:
    name = registry.push(small(tmp_path / "layout"), "demo/small:one")
    registry.stop()
    with pytest.raises(errors.SourceUnavailable, match="nothing answers there"):
        fetch(name, cache)
    registry.start()
    assert len(fetch(name, cache).layers) == 2


@pytest.mark.parametrize("damage", ["truncate", "flip"])
def test_a_damaged_blob_of_the_registry_is_refused(
    registry: Registry, cache: Path, tmp_path: Path, damage: str
) -> None:
    name = registry.push(small(tmp_path / "layout", b"x" * 100_000), "demo/small:one")
    manifest = json.loads(skopeo("inspect", "--tls-verify=false", "--raw", f"docker://{name}"))
    digest = manifest["layers"][1]["digest"]
    blob = registry.blob(digest)
    data = blob.read_bytes()
    blob.write_bytes(data[:-20] if damage == "truncate" else data[:40] + bytes([data[40] ^ 1]) + data[41:])
    registry.stop()  # it remembers sizes
    registry.start()
    with pytest.raises(errors.CorruptBlob):
        fetch(name, cache)
    assert digest.removeprefix("sha256:") not in blobs(cache)
    assert not list(cache.glob("pull-*"))


def test_a_short_blob_of_the_cache_is_fetched_again(registry: Registry, cache: Path, tmp_path: Path) -> None:
    name = registry.push(small(tmp_path / "layout"), "demo/small:one")
    first = fetch(name, cache)
    damaged = Path(first.layers[0].path)
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-1])
    assert fetch(name, cache) == first
    assert damaged.read_bytes() == whole


def test_only_damaged_blobs_are_discarded(cache: Path, tmp_path: Path) -> None:
    name = small(tmp_path / "layout")
    first = fetch(name, cache)
    damaged, sound = (Path(layer.path) for layer in first.layers)
    whole = damaged.read_bytes()
    damaged.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    transport.discard((layer.path, layer.digest, layer.size) for layer in first.layers)
    assert (damaged.exists(), sound.exists()) == (False, True)
    assert fetch(name, cache) == first
    assert damaged.read_bytes() == whole


def test_a_layer_that_is_not_what_the_layout_says_is_refused(cache: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    name = small(layout)
    for blob in (layout / "blobs/sha256").iterdir():
        if blob.read_bytes()[:2] == b"\x1f\x8b":
            blob.write_bytes(blob.read_bytes()[:-9])
    with pytest.raises(errors.CorruptBlob):
        fetch(name, cache)


def test_another_architecture_is_refused(registry: Registry, cache: Path, tmp_path: Path) -> None:
    name = registry.push(small(tmp_path / "layout", architecture="arm64"), "demo/arm:one")
    with pytest.raises(errors.WrongPlatform, match="linux/arm64, not for linux/amd64"):
        fetch(name, cache)


def test_an_index_without_our_platform_is_refused(cache: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    name = small(layout, architecture="arm64")
    index = json.loads((layout / "index.json").read_bytes())
    entry = dict(index["manifests"][0])
    entry.pop("annotations")
    entry["platform"] = {"os": "linux", "architecture": "arm64"}
    nested = guest_images.store_blob(
        layout, "application/vnd.oci.image.index.v1+json", {"schemaVersion": 2, "manifests": [entry]}
    )
    nested["annotations"] = index["manifests"][0]["annotations"]
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [nested]}))
    with pytest.raises(errors.WrongPlatform):
        fetch(name, cache)


def test_a_missing_layout_is_named(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.SourceUnavailable, match="no such file"):
        fetch(f"oci:{tmp_path}/nowhere:latest", cache)


def test_plain_http_is_for_loopback_only() -> None:
    assert reference.parse("127.0.0.1:5000/a").loopback
    assert reference.parse("localhost:5000/a").loopback
    assert not reference.parse("127.0.0.1.example.org/a").loopback
    assert not reference.parse("registry.example.org:5000/a").loopback


def test_cancelling_ends_skopeo_and_leaves_nothing(registry: Registry, cache: Path, tmp_path: Path) -> None:
    name = registry.push(small(tmp_path / "layout"), "demo/small:one")

    async def cancelled() -> None:
        task = asyncio.create_task(transport.fetch(reference.parse(name), str(cache)))
        while not list(cache.glob("pull-*")):  # noqa: ASYNC110 - what is waited for happens on the disk
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert not list(cache.glob("pull-*"))
